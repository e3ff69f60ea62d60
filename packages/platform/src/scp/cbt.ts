import type { Extent } from '@varve/cbt'
import Type from 'typebox'
import type { CbtStatus } from '../driver.ts'
import { PlatformError } from '../errors.ts'
import { type AreasPage, AreasReader } from './changed-areas.ts'
import { answerCheck } from './check-answer.ts'
import { SCP_DEFAULTS, type ScpOptions } from './options.ts'
import { type ScpClient, segment } from './scp-client.ts'
import { waitForTask } from './tasks.ts'

const statusAnswer = answerCheck(
  Type.Object({
    is_enabled: Type.Boolean(),
    disks: Type.Array(Type.Object({ id: Type.String({ maxLength: 100 }), is_enabled: Type.Boolean() }), { maxItems: 1024 }),
  }),
)
const Bytes = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const areasAnswer = answerCheck(
  Type.Object({ changed_area: Type.Array(Type.Object({ start: Bytes, length: Bytes })), start_offset: Bytes, length: Bytes }),
)

/** Change tracking: its switch and its answers. */
export class Cbt {
  readonly #client: ScpClient
  readonly #options: ScpOptions

  constructor(client: ScpClient, options: ScpOptions) {
    this.#client = client
    this.#options = options
  }

  async status(vmId: string, signal?: AbortSignal): Promise<CbtStatus> {
    const data = await this.#client.call({ method: 'GET', path: path(vmId, 'status'), what: 'CBT status', missing: 'VM_NOT_FOUND', signal })
    const { is_enabled, disks } = statusAnswer('CBT status', data)
    return { enabled: is_enabled, disks: disks.map(disk => ({ id: disk.id, enabled: is_enabled && disk.is_enabled })) }
  }

  async set(
    vmId: string,
    change: 'enable' | 'disable' | 'reset',
    diskIds: readonly string[] | undefined,
    signal?: AbortSignal,
  ): Promise<void> {
    if (diskIds?.length === 0 && change !== 'reset') return
    const what = `${change} CBT`
    const data = await this.#client.call({
      method: 'PUT',
      path: path(vmId, 'status'),
      body: { type: change, ...(diskIds === undefined || change === 'reset' ? {} : { disk_ids: diskIds }) },
      what,
      missing: 'VM_NOT_FOUND',
      conflict: 'VM_BUSY',
      signal,
    })
    await waitForTask(this.#client, what, data, { stallMs: this.#options.taskStallMs ?? SCP_DEFAULTS.taskStallMs, signal })
  }

  async *changedAreas(
    query: { vmId: string; diskId: string; snapshotId: string; since: bigint; diskSize: number },
    signal?: AbortSignal,
  ): AsyncIterable<readonly Extent[]> {
    const reader = new AreasReader(query.diskSize, this.#options.maxChangedAreaPages ?? SCP_DEFAULTS.maxChangedAreaPages)
    while (!reader.done) {
      const data = await this.#client.call({
        method: 'GET',
        path: path(query.vmId, 'changed-areas'),
        query: { disk_id: query.diskId, snapshot_id: query.snapshotId, checkpoint_id: query.since, start_offset: reader.offset },
        what: `changed areas of ${query.diskId}`,
        missing: 'SNAPSHOT_NOT_FOUND',
        signal,
      })
      const extents = reader.take(checkAreas(data))
      if (extents.length > 0) yield extents
    }
  }
}

/** A wrong type in this answer is as bad as a wrong figure. */
function checkAreas(data: unknown): AreasPage {
  try {
    return areasAnswer('changed areas', data)
  } catch (cause) {
    throw new PlatformError('CBT_ANSWER_INVALID', cause instanceof Error ? cause.message : 'changed areas', {}, { cause })
  }
}

function path(vmId: string, call: 'status' | 'changed-areas'): string {
  return `/janus/20180725/servers/${segment(vmId, 'VM_NOT_FOUND')}/cbt/${call}`
}
