import { createHash, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { Logger } from '@varve/runtime'
import { writeFileAtomically } from '../atomic-file.ts'
import { HciError } from '../errors.ts'
import { type Lease, type LeaseStatus, type LeaseType, leaseFrom } from './lease.ts'

/** How long an ended lease still answers with its last status. */
const ENDED_KEPT_MS = 10 * 60_000

/**
 * The leases of all VMs, at most one running per VM, kept in a file: a restart keeps those whose time has not run out.
 * `onEnd` is called once for each that ends, whatever the reason.
 */
export class Leases {
  readonly #path: string
  readonly #log: Logger
  readonly #leases = new Map<string, Lease>()
  readonly #timers = new Map<string, NodeJS.Timeout>()
  readonly #ended = new Map<string, number>()
  #onEnd: (lease: Lease) => void = () => {}
  #saved: Promise<void> = Promise.resolve()

  private constructor(path: string, log: Logger) {
    this.#path = path
    this.#log = log
  }

  static async open(path: string, log: Logger, now = Date.now()): Promise<Leases> {
    const leases = new Leases(path, log)
    for (const value of await readLeases(path, log)) {
      const lease = leaseFrom(value)
      if (lease === undefined || lease.expiresAt <= now) continue
      leases.#leases.set(lease.id, lease)
      leases.#arm(lease)
    }
    return leases
  }

  set onEnd(onEnd: (lease: Lease) => void) {
    this.#onEnd = onEnd
  }

  get(id: string): Lease {
    const lease = this.#leases.get(id)
    if (lease === undefined) throw new HciError('LEASE_NOT_FOUND', `no backup resource ${id}`)
    return lease
  }

  /** The lease that holds the VM now. */
  holding(vmId: string): Lease | undefined {
    for (const lease of this.#leases.values()) if (lease.vmId === vmId && lease.status === 'running') return lease
    return undefined
  }

  /** By the secret in an export name; running ones only. The time it takes tells nothing about how much of a guess is right. */
  bySecret(secret: string): Lease | undefined {
    const wanted = digest(secret)
    for (const lease of this.#leases.values()) {
      if (lease.status === 'running' && timingSafeEqual(digest(lease.secret), wanted)) return lease
    }
    return undefined
  }

  isRunning(id: string): boolean {
    return this.#leases.get(id)?.status === 'running'
  }

  /** Holds the VM at once; resolves when that would survive a restart. LEASE_OCCUPIED when another does. */
  async create(vmId: string, type: LeaseType, lockSeconds: number): Promise<Lease> {
    const other = this.holding(vmId)
    if (other !== undefined) {
      throw new HciError('LEASE_OCCUPIED', `the VM is occupied by another backup resource (${other.type})`, { vmId })
    }
    this.#forgetEnded()
    const lease: Lease = {
      id: `${randomUUID()}:${randomUUID()}`,
      vmId,
      type,
      secret: randomBytes(32).toString('base64url'),
      status: 'running',
      expiresAt: Date.now() + lockSeconds * 1000,
      snapshotsRead: [],
    }
    this.#leases.set(lease.id, lease)
    this.#arm(lease)
    await this.#save()
    this.#log.info({ leaseId: lease.id, vmId, type, lockSeconds }, 'lease created')
    return lease
  }

  /** From now on `lockSeconds` more. LEASE_NOT_FOUND when it has ended. */
  async renew(id: string, lockSeconds: number): Promise<void> {
    const lease = this.get(id)
    if (lease.status !== 'running') throw new HciError('LEASE_NOT_FOUND', `the backup resource has ended: ${lease.status}`)
    const renewed = { ...lease, expiresAt: Date.now() + lockSeconds * 1000 }
    this.#leases.set(id, renewed)
    this.#arm(renewed)
    await this.#save()
  }

  /** Ends it. Repeatable while it is remembered. */
  async end(id: string, status: Extract<LeaseStatus, 'released' | 'expired' | 'cancelled'>): Promise<void> {
    const lease = this.get(id)
    if (lease.status !== 'running') return
    clearTimeout(this.#timers.get(id))
    this.#timers.delete(id)
    const ended: Lease = { ...lease, status }
    this.#leases.set(id, ended)
    this.#ended.set(id, Date.now())
    this.#onEnd(ended)
    this.#log.info({ leaseId: id, vmId: lease.vmId, status }, 'lease ended')
    await this.#save()
  }

  /** Resolves when a restart would know it, too. */
  async noteSnapshotRead(id: string, snapshotId: string): Promise<void> {
    const lease = this.get(id)
    if (lease.snapshotsRead.includes(snapshotId)) return
    this.#leases.set(id, { ...lease, snapshotsRead: [...lease.snapshotsRead, snapshotId] })
    await this.#save()
  }

  running(): readonly Lease[] {
    return [...this.#leases.values()].filter(lease => lease.status === 'running')
  }

  async close(): Promise<void> {
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
    await this.#saved
  }

  #arm(lease: Lease): void {
    clearTimeout(this.#timers.get(lease.id))
    const timer = setTimeout(
      () => {
        this.end(lease.id, 'expired').catch(error => this.#log.error({ err: error, leaseId: lease.id }, 'lease not recorded as expired'))
      },
      Math.max(0, lease.expiresAt - Date.now()),
    )
    timer.unref()
    this.#timers.set(lease.id, timer)
  }

  #save(): Promise<void> {
    const write = this.#saved.then(() => writeFileAtomically(this.#path, JSON.stringify(this.running(), null, 1)))
    this.#saved = write.catch(error => this.#log.error({ err: error }, 'leases not saved'))
    return write
  }

  #forgetEnded(): void {
    for (const [id, at] of this.#ended) {
      if (at + ENDED_KEPT_MS > Date.now()) continue
      this.#ended.delete(id)
      this.#leases.delete(id)
    }
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

async function readLeases(path: string, log: Logger): Promise<readonly unknown[]> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'))
    return Array.isArray(value) ? value : []
  } catch (error) {
    // A lost lease file only ends leases early: their holders create new ones.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') log.warn({ err: error }, 'leases could not be read, starting without')
    return []
  }
}
