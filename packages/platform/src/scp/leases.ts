import Type from 'typebox'
import type { Lease, LeaseType } from '../driver.ts'
import { PlatformError } from '../errors.ts'
import { answerCheck } from './check-answer.ts'
import { SCP_DEFAULTS, type ScpOptions } from './options.ts'
import { type ScpClient, segment } from './scp-client.ts'
import { waitForTask } from './tasks.ts'

const BASE = '/janus/20180725/backup-resources'

const createdAnswer = answerCheck(Type.Object({ resource_id: Type.String({ pattern: '^[\\w.:-]{1,200}$' }) }))
const leaseAnswer = answerCheck(
  Type.Object({
    server_id: Type.String({ maxLength: 200 }),
    remain_time: Type.Number(),
    status: Type.Enum(['pending', 'running', 'expired', 'occupied', 'cancelled', 'released', 'failed']),
  }),
)

/** Leases, which SCP calls backup resources: they lock a VM and give access to its data until their time runs out. */
export class Leases {
  readonly #client: ScpClient
  readonly #options: ScpOptions

  constructor(client: ScpClient, options: ScpOptions) {
    this.#client = client
    this.#options = options
  }

  async create(vmId: string, type: LeaseType, seconds: number, clientToken: string | undefined, signal?: AbortSignal): Promise<Lease> {
    segment(vmId, 'VM_NOT_FOUND')
    let lease = await this.#create(vmId, type, seconds, clientToken, signal)
    // The platform remembered an earlier lease of this token, which has ended since.
    if (clientToken !== undefined && isEnded(lease)) lease = await this.#create(vmId, type, seconds, undefined, signal)
    if (lease.status === 'occupied') throw new PlatformError('LEASE_OCCUPIED', 'another application holds the VM', { leaseId: lease.id })
    if (isEnded(lease)) throw new PlatformError('LEASE_LOST', `the new ${type} lease is ${lease.status} already`, { leaseId: lease.id })
    return lease
  }

  async #create(vmId: string, type: LeaseType, seconds: number, clientToken: string | undefined, signal?: AbortSignal): Promise<Lease> {
    const what = `create ${type} lease`
    const data = await this.#client.call({
      method: 'POST',
      path: BASE,
      body: { server_id: vmId, type, lock_time: Math.round(seconds) },
      ...(clientToken === undefined ? {} : { clientToken }),
      what,
      missing: 'VM_NOT_FOUND',
      conflict: 'LEASE_OCCUPIED',
      signal,
    })
    const { resource_id } = createdAnswer(what, data)
    await this.#task(what, data, signal)
    try {
      return await this.get(resource_id, signal)
    } catch (error) {
      // Ended, and forgotten.
      if (!(error instanceof PlatformError && error.code === 'LEASE_LOST')) throw error
      return { id: resource_id, vmId, status: 'expired', remainSeconds: 0 }
    }
  }

  async get(leaseId: string, signal?: AbortSignal): Promise<Lease> {
    const { server_id, remain_time, status } = leaseAnswer('lease', await this.read(leaseId, signal))
    return { id: leaseId, vmId: server_id, status, remainSeconds: Math.max(0, remain_time) }
  }

  /** The backup resource as answered. @throws PlatformError LEASE_LOST when there is none */
  async read(leaseId: string, signal?: AbortSignal): Promise<unknown> {
    return this.#client.call({ method: 'GET', path: path(leaseId), what: 'lease', missing: 'LEASE_LOST', signal })
  }

  async renew(leaseId: string, seconds: number, signal?: AbortSignal): Promise<void> {
    const data = await this.#client.call({
      method: 'PUT',
      path: path(leaseId),
      body: { lock_time: Math.round(seconds) },
      what: 'renew lease',
      missing: 'LEASE_LOST',
      conflict: 'LEASE_LOST',
      signal,
    })
    await this.#task('renew lease', data, signal)
  }

  async release(leaseId: string, signal?: AbortSignal): Promise<void> {
    try {
      const data = await this.#client.call({ method: 'DELETE', path: path(leaseId), what: 'release lease', missing: 'LEASE_LOST', signal })
      if (data !== undefined) await this.#task('release lease', data, signal)
    } catch (error) {
      if (!(error instanceof PlatformError && error.code === 'LEASE_LOST')) throw error
    }
  }

  #task(what: string, data: unknown, signal: AbortSignal | undefined): Promise<void> {
    return waitForTask(this.#client, what, data, { stallMs: this.#options.taskStallMs ?? SCP_DEFAULTS.taskStallMs, signal })
  }
}

function isEnded({ status }: Lease): boolean {
  return status !== 'running' && status !== 'pending' && status !== 'occupied'
}

function path(leaseId: string): string {
  return `${BASE}/${segment(leaseId, 'LEASE_LOST')}`
}
