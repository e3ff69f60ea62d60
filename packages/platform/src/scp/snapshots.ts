import { parseCheckpoint } from '@varve/cbt'
import Type from 'typebox'
import type { PlatformSnapshot } from '../driver.ts'
import { PlatformError } from '../errors.ts'
import { answerCheck } from './check-answer.ts'
import { SCP_DEFAULTS, type ScpOptions } from './options.ts'
import { type ScpClient, segment } from './scp-client.ts'
import { waitForTask } from './tasks.ts'
import { diskEntries, diskSizeOf, identityOf, savedConfig } from './vm-config.ts'

const Id = Type.String({ pattern: '^[\\w.:-]{1,200}$' })
const Name = Type.String({ maxLength: 1000 })
const Time = Type.Union([Type.String({ maxLength: 100 }), Type.Number()])

const listAnswer = answerCheck(
  Type.Array(Type.Object({ id: Id, name: Name, created_at: Time, type: Type.Optional(Name), status: Type.Optional(Name) }), {
    maxItems: 10_000,
  }),
)
const detailAnswer = answerCheck(
  Type.Object({
    id: Id,
    name: Name,
    created_at: Time,
    /** Text in the answer, an integer in the query of changed-areas. */
    checkpoint_id: Type.Union([Type.String({ pattern: '^\\d{1,20}$' }), Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })]),
    vmconf: Type.Record(Type.String(), Type.Unknown()),
  }),
)
const createdAnswer = answerCheck(Type.Object({ resource_id: Type.Optional(Type.Union([Type.String({ maxLength: 200 }), Type.Null()])) }))
const placeAnswer = answerCheck(Type.Object({ az_id: Type.Optional(Type.String({ maxLength: 200 })) }))

/** The vendor's name for internal snapshots, beside which there can be no others. */
const INTERNAL = 'qcow2'

interface Listed {
  readonly id: string
  readonly name: string
  readonly createdAt: string
  readonly type: string
}

/** Snapshots of VMs. */
export class Snapshots {
  readonly #client: ScpClient
  readonly #options: ScpOptions

  constructor(client: ScpClient, options: ScpOptions) {
    this.#client = client
    this.#options = options
  }

  /** One of that name that exists already is taken, also when it came about while we asked. */
  async create(vmId: string, name: string, signal?: AbortSignal): Promise<PlatformSnapshot> {
    const before = await this.#named(vmId, name, signal)
    if (before !== undefined) return this.get(vmId, before.id, signal)
    const what = `create snapshot ${name}`
    let created: string | undefined
    try {
      const data = await this.#client.call({
        method: 'POST',
        path: `/janus/20190725/servers/${segment(vmId, 'VM_NOT_FOUND')}/snapshots`,
        body: {
          name,
          description: 'agentless backup, deleted afterwards',
          ...(this.#options.snapshotType === undefined ? {} : { snap_type: this.#options.snapshotType }),
        },
        what,
        missing: 'VM_NOT_FOUND',
        signal,
      })
      await this.#task(what, data, signal)
      created = createdAnswer(what, data).resource_id ?? undefined
    } catch (error) {
      // Another attempt of ours may have won: its answer got lost, its task went on.
      const late = await this.#namedAfter(error, vmId, name, signal)
      if (late === undefined) throw error
      return this.get(vmId, late.id, signal)
    }
    const id = created !== undefined && created !== '' ? created : (await this.#named(vmId, name, signal))?.id
    if (id === undefined) throw new PlatformError('PLATFORM_ANSWER_INVALID', `${what}: the task ended well, but there is no snapshot`)
    return this.get(vmId, id, signal)
  }

  async list(vmId: string, prefix: string, signal?: AbortSignal): Promise<readonly { id: string; name: string; createdAt: string }[]> {
    return (await this.#all(vmId, signal))
      .filter(({ name }) => name.startsWith(prefix))
      .map(({ id, name, createdAt }) => ({ id, name, createdAt }))
  }

  async hasInternal(vmId: string, signal?: AbortSignal): Promise<boolean> {
    return (await this.#all(vmId, signal)).some(({ type }) => type === INTERNAL)
  }

  async get(vmId: string, snapshotId: string, signal?: AbortSignal): Promise<PlatformSnapshot> {
    const vm = segment(vmId, 'VM_NOT_FOUND')
    const [detail, place] = await Promise.all([
      this.#client.call({
        method: 'GET',
        path: `/janus/20180725/servers/${vm}/snapshots/${segment(snapshotId, 'SNAPSHOT_NOT_FOUND')}`,
        what: 'snapshot',
        missing: 'SNAPSHOT_NOT_FOUND',
        signal,
      }),
      this.#client.call({
        method: 'GET',
        path: `/janus/20240725/servers/${vm}`,
        what: 'VM of the snapshot',
        missing: 'VM_NOT_FOUND',
        signal,
      }),
    ])
    const { id, name, created_at, checkpoint_id, vmconf } = detailAnswer('snapshot', detail)
    const config = savedConfig(vmconf, placeAnswer('VM of the snapshot', place).az_id)
    return {
      id,
      name,
      createdAt: timeOf(created_at),
      checkpointId: checkpointOf(checkpoint_id),
      config,
      disks: diskEntries(config).map(disk => {
        if (typeof disk.device_id !== 'string') throw new PlatformError('PLATFORM_ANSWER_INVALID', 'snapshot: a disk has no device_id')
        return { id: disk.device_id, size: diskSizeOf(disk), ...identityOf(disk) }
      }),
    }
  }

  async delete(vmId: string, snapshotId: string, signal?: AbortSignal): Promise<void> {
    try {
      const data = await this.#client.call({
        method: 'DELETE',
        path: `/janus/20180725/servers/${segment(vmId, 'VM_NOT_FOUND')}/snapshots/${segment(snapshotId, 'SNAPSHOT_NOT_FOUND')}`,
        what: 'delete snapshot',
        missing: 'SNAPSHOT_NOT_FOUND',
        conflict: 'VM_BUSY',
        signal,
      })
      // Over when the platform has merged it, which takes as long as there is data.
      if (data !== undefined) await this.#task('delete snapshot', data, signal)
    } catch (error) {
      const gone = error instanceof PlatformError && (error.code === 'SNAPSHOT_NOT_FOUND' || error.code === 'VM_NOT_FOUND')
      if (!gone) throw error
    }
  }

  async #all(vmId: string, signal: AbortSignal | undefined): Promise<readonly Listed[]> {
    const path = `/janus/20210725/servers/${segment(vmId, 'VM_NOT_FOUND')}/snapshots`
    const data = await this.#client.call({ method: 'GET', path, what: 'list snapshots', missing: 'VM_NOT_FOUND', signal })
    return listAnswer('list snapshots', data).map(({ id, name, created_at, type }) => ({
      id,
      name,
      createdAt: timeOf(created_at),
      type: type ?? '',
    }))
  }

  async #named(vmId: string, name: string, signal: AbortSignal | undefined): Promise<Listed | undefined> {
    return (await this.#all(vmId, signal)).find(snapshot => snapshot.name === name)
  }

  async #namedAfter(error: unknown, vmId: string, name: string, signal: AbortSignal | undefined): Promise<Listed | undefined> {
    const conflict = error instanceof PlatformError && error.context.status === 409
    return conflict ? this.#named(vmId, name, signal) : undefined
  }

  #task(what: string, data: unknown, signal: AbortSignal | undefined): Promise<void> {
    return waitForTask(this.#client, what, data, { stallMs: this.#options.taskStallMs ?? SCP_DEFAULTS.taskStallMs, signal })
  }
}

function checkpointOf(value: string | number): bigint {
  try {
    return parseCheckpoint(String(value))
  } catch (cause) {
    throw new PlatformError('PLATFORM_ANSWER_INVALID', 'snapshot: the checkpoint id has more than 64 bits', {}, { cause })
  }
}

/** ISO text; a number is seconds since 1970. */
function timeOf(value: string | number): string {
  if (typeof value === 'string') return value
  const date = new Date(value * 1000)
  return Number.isNaN(date.getTime()) ? '' : date.toISOString()
}
