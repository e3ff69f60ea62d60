import type { Extent } from '@varve/cbt'
import {
  type CbtStatus,
  type ConfiguredDisk,
  type DiskAddress,
  type Lease,
  type LeaseType,
  type PlatformDriver,
  PlatformError,
  type PlatformSnapshot,
  type PlatformVm,
  type VmConfig,
} from '@varve/platform'
import { type During, MemoryTasks } from './memory-tasks.ts'

/** What the platform answers to a query of changed areas: pages of extents, or the code of an error. */
export type Answer = readonly (readonly Extent[])[] | 'CBT_EXPIRED' | 'CBT_ANSWER_INVALID' | 'CBT_DISABLED'

interface Query {
  readonly diskId: string
  readonly snapshot: PlatformSnapshot
  readonly since: bigint
}

/** A platform with VMs, snapshots, leases and tracking but no disks, for the stories of this service. Tests set its fields. */
export class MemoryPlatform implements PlatformDriver {
  readonly vms = new Map<string, PlatformVm>()
  /** Disks (`vm/disk`) with tracking on. */
  readonly tracked = new Set<string>()
  readonly snapshots = new Map<string, PlatformSnapshot & { readonly vmId: string }>()
  /** Live leases; the VM is locked as long as one is here. */
  readonly leases = new Map<string, string>()
  readonly calls: string[] = []
  /** Whether making a VM fails, and how switching power fails. */
  creationFails = false
  powerFails: 'TASK_FAILED' | 'TASK_TIMEOUT' | 'VM_BUSY' | 'PLATFORM_UNREACHABLE' | null = null
  /** Of the very disks, by slot. */
  readonly identities = new Map<string, string>()
  generation = 1n
  inc = 0n
  /** By default each disk has its first 64 KiB changed, and expires across generations as a real one does. */
  answer: (query: Query) => Answer = ({ snapshot, since }) =>
    since !== 0n && since >> 32n !== snapshot.checkpointId >> 32n ? 'CBT_EXPIRED' : [[{ offset: 0, length: 65_536 }]]
  #next = 1
  readonly #byToken = new Map<string, string>()
  readonly #leaseByToken = new Map<string, string>()
  readonly #tasks = new MemoryTasks()

  async version(): Promise<string> {
    return 'memory'
  }

  async *listVms(): AsyncIterable<PlatformVm> {
    this.#tasks.look()
    yield* this.vms.values()
  }

  async getVm(vmId: string): Promise<PlatformVm> {
    this.#tasks.look()
    const vm = this.vms.get(vmId)
    if (vm === undefined) throw new PlatformError('VM_NOT_FOUND', `no VM ${vmId}`)
    return { ...vm, busy: vm.busy || this.#tasks.isBusy(vmId) }
  }

  async cbtStatus(vmId: string): Promise<CbtStatus> {
    const { disks } = await this.getVm(vmId)
    const states = disks.map(({ id }) => ({ id, enabled: this.tracked.has(`${vmId}/${id}`) }))
    return { enabled: states.some(disk => disk.enabled), disks: states }
  }

  async setCbt(vmId: string, change: 'enable' | 'disable' | 'reset', diskIds?: readonly string[]): Promise<void> {
    this.calls.push(`setCbt ${change} ${diskIds?.join() ?? 'all'}`)
    const ids = diskIds ?? (await this.getVm(vmId)).disks.map(disk => disk.id)
    if (change === 'reset') this.generation += 1n
    else for (const id of ids) this.tracked[change === 'enable' ? 'add' : 'delete'](`${vmId}/${id}`)
  }

  async createSnapshot(vmId: string, name: string, _signal?: AbortSignal, during?: During): Promise<PlatformSnapshot> {
    const { disks, name: vmName } = await this.getVm(vmId)
    // Nothing is waited for from here on: of two that ask at once one is told that the VM is busy.
    const present = [...this.snapshots.values()].find(snapshot => snapshot.vmId === vmId && snapshot.name === name)
    if (present !== undefined) return present
    this.#tasks.requireIdle(vmId)
    this.inc += 1n
    const tracked = disks.some(({ id }) => this.tracked.has(`${vmId}/${id}`))
    const checkpointId = tracked ? (this.generation << 32n) | this.inc : 0n
    const id = `snapshot-${this.#next++}`
    const snapshot = {
      id,
      name,
      vmId,
      createdAt: '2026-01-01T00:00:00Z',
      checkpointId,
      config: { name: vmName },
      disks: this.#identified(disks),
    }
    await this.#tasks.run(vmId, during, () => this.snapshots.set(id, snapshot))
    return snapshot
  }

  async listSnapshots(vmId: string, prefix: string): Promise<readonly PlatformSnapshot[]> {
    await this.getVm(vmId)
    return [...this.snapshots.values()].filter(snapshot => snapshot.vmId === vmId && snapshot.name.startsWith(prefix))
  }

  async getSnapshot(_vmId: string, snapshotId: string): Promise<PlatformSnapshot> {
    const snapshot = this.snapshots.get(snapshotId)
    if (snapshot === undefined) throw new PlatformError('SNAPSHOT_NOT_FOUND', `no snapshot ${snapshotId}`)
    return snapshot
  }

  async deleteSnapshot(vmId: string, snapshotId: string): Promise<void> {
    this.#tasks.requireIdle(vmId)
    this.snapshots.delete(snapshotId)
  }

  configuredDisks(config: VmConfig): readonly ConfiguredDisk[] {
    return (config.disks ?? []) as readonly ConfiguredDisk[]
  }

  async *changedAreas({
    diskId,
    snapshotId,
    since,
  }: {
    diskId: string
    snapshotId: string
    since: bigint
  }): AsyncIterable<readonly Extent[]> {
    const snapshot = this.snapshots.get(snapshotId)
    if (snapshot === undefined) throw new PlatformError('SNAPSHOT_NOT_FOUND', `no snapshot ${snapshotId}`)
    this.calls.push(`changedAreas ${diskId} since ${since}`)
    const answer = this.answer({ diskId, snapshot, since })
    if (typeof answer !== 'string') yield* answer
    else throw new PlatformError(answer, 'no answer')
  }

  async createLease(vmId: string, type: LeaseType, _seconds?: number, _signal?: AbortSignal, clientToken = ''): Promise<Lease> {
    const present = this.#leaseByToken.get(clientToken)
    if (present !== undefined && this.leases.has(present)) return this.getLease(present)
    if ([...this.leases.values()].includes(vmId)) throw new PlatformError('LEASE_OCCUPIED', `VM ${vmId} is locked`)
    const id = `${type}-lease-${this.#next++}`
    this.leases.set(id, vmId)
    if (clientToken !== '') this.#leaseByToken.set(clientToken, id)
    return { id, vmId, status: 'running', remainSeconds: 120 }
  }

  async getLease(leaseId: string): Promise<Lease> {
    const vmId = this.leases.get(leaseId)
    if (vmId === undefined) throw new PlatformError('LEASE_LOST', `no lease ${leaseId}`)
    return { id: leaseId, vmId, status: 'running', remainSeconds: 120 }
  }

  async renewLease(leaseId: string): Promise<void> {
    await this.getLease(leaseId)
    this.calls.push(`renewLease ${leaseId}`)
  }

  async releaseLease(leaseId: string): Promise<void> {
    this.leases.delete(leaseId)
  }

  async diskAddress(): Promise<DiskAddress> {
    // It has no disks: nothing answers there.
    return { host: '127.0.0.1', port: 1, exportName: 'none' }
  }

  async createVm(
    config: VmConfig,
    name: string,
    clientToken: string,
    _signal?: AbortSignal,
    onAccepted?: (vmId: string) => Promise<void> | void,
    during?: During,
  ): Promise<string> {
    const present = this.#byToken.get(clientToken)
    if (present !== undefined) {
      // Whoever comes again waits for the same task.
      await onAccepted?.(present)
      this.#tasks.endAll()
      return this.#made(present)
    }
    const id = `new-vm-${this.#next++}`
    const disks = (config.disks ?? []) as PlatformVm['disks']
    this.#byToken.set(clientToken, id)
    const vm: PlatformVm = { id, name, power: 'off', busy: false, disks, exclusions: [], description: `(varve ${clientToken})` }
    await this.#tasks.run(
      id,
      async () => {
        await onAccepted?.(id)
        await during?.()
      },
      () => {
        if (!this.creationFails) this.vms.set(id, vm)
      },
    )
    return this.#made(id)
  }

  async editVm(vmId: string): Promise<void> {
    this.#tasks.requireIdle(vmId)
    const locked = [...this.leases].some(([id, leased]) => leased === vmId && id.startsWith('restore-'))
    if (locked) throw new PlatformError('VM_BUSY', `VM ${vmId} is locked by a restore`)
    this.calls.push(`editVm ${vmId}`)
  }

  async power(vmId: string, power: 'on' | 'off'): Promise<void> {
    if (this.powerFails !== null) throw new PlatformError(this.powerFails, 'no memory left on the host')
    this.vms.set(vmId, { ...(await this.getVm(vmId)), power })
  }

  async deleteVm(vmId: string): Promise<void> {
    // One that is still being made is not found, as on a real platform, and that is taken as deleted.
    if (this.vms.has(vmId)) this.#tasks.requireIdle(vmId)
    this.vms.delete(vmId)
  }

  /** So much later that tasks have ended and client tokens are forgotten (SCP: 15 minutes). */
  muchLater(): void {
    this.#tasks.endAll()
    this.#byToken.clear()
    this.#leaseByToken.clear()
  }

  async close(): Promise<void> {}

  #made(vmId: string): string {
    if (this.creationFails) throw new PlatformError('TASK_FAILED', 'no space left')
    return vmId
  }

  #identified(disks: PlatformVm['disks']): PlatformSnapshot['disks'] {
    return disks.map(disk => {
      const identity = this.identities.get(disk.id)
      return identity === undefined ? disk : { ...disk, identity }
    })
  }
}
