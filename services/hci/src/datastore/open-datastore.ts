import { randomBytes, randomUUID } from 'node:crypto'
import fs from 'node:fs'
import { isDiskSize, PageCache } from '@varve/cbt'
import { createLogger, type Logger } from '@varve/runtime'
import { beginBoot, endBoot, noteBoot } from './boot-state.ts'
import { changedAreas } from './changed-areas.ts'
import type { Datastore, VmRecord } from './datastore.ts'
import { deleteSnapshot } from './delete-snapshot.ts'
import { liveBackend, snapshotBackend } from './disk-backends.ts'
import { DatastoreError } from './errors.ts'
import { syncFolder } from './file-io.ts'
import { loadPunchHole, type PunchHole } from './hole.ts'
import { removeLayerFiles, resizeLayerFiles } from './layer.ts'
import { lockFolder, readBootId } from './lock-file.ts'
import { baseName, checkId, VM_FILE } from './names.ts'
import { revertSnapshot } from './revert-snapshot.ts'
import { disableCbt, enableCbt, resetCbt } from './set-cbt.ts'
import { noStep, type Step } from './step.ts'
import { takeSnapshot } from './take-snapshot.ts'
import { Vm, type VmDeps } from './vm.ts'
import { recordOf, type VmState, writeVmState } from './vm-file.ts'

export interface DatastoreOptions {
  readonly log?: Logger
  /** Bytes per second that a merge copies. 80 MiB/s, the platform's own default. */
  readonly mergeRate?: number
  /** Pages of maps held in memory, 2 KiB each, for all disks together. */
  readonly cachePages?: number
  /** Called at each step boundary, for tests that kill the process there. */
  readonly crashAt?: Step
  /** How holes are made; for tests of file systems that have none. */
  readonly punch?: PunchHole
  /** Identity of the machine's boot; for tests of a power cut. */
  readonly bootId?: string
}

const CREATING = '.creating'
const DELETED = '.deleted-'
const CBT_EXPIRE = '.cbt-expire'

/**
 * Open the datastore in a folder (made if absent) and repair what a crash left.
 *
 * @throws DatastoreError DATASTORE_LOCKED, DATASTORE_DAMAGED
 */
export async function openDatastore(folder: string, options: DatastoreOptions = {}): Promise<Datastore> {
  await fs.promises.mkdir(folder, { recursive: true })
  const bootId = options.bootId ?? readBootId()
  const unlock = lockFolder(folder, bootId)
  try {
    const log = options.log ?? createLogger('datastore', 'silent')
    const deps: VmDeps = {
      cache: new PageCache(options.cachePages ?? 8192),
      punch: options.punch ?? (await loadPunchHole()),
      step: options.crashAt ?? noStep,
      mergeRate: options.mergeRate ?? 80 * 2 ** 20,
      log,
    }
    const expire = await beginBoot(folder, bootId)
    const datastore = new FolderDatastore(folder, bootId, deps, unlock)
    await datastore.open(expire)
    if (expire !== undefined) await noteBoot(folder, bootId)
    return datastore
  } catch (error) {
    unlock()
    throw error
  }
}

class FolderDatastore implements Datastore {
  readonly #folder: string
  readonly #bootId: string
  readonly #deps: VmDeps
  readonly #unlock: () => void
  readonly #vms = new Map<string, Vm>()
  /** VMs whose folder can't be understood: the others go on. */
  readonly #damaged = new Map<string, unknown>()
  readonly #pending = new Set<string>()
  #closed = false

  constructor(folder: string, bootId: string, deps: VmDeps, unlock: () => void) {
    this.#folder = folder
    this.#bootId = bootId
    this.#deps = deps
    this.#unlock = unlock
  }

  async open(expire: string | undefined): Promise<void> {
    for (const entry of await fs.promises.readdir(this.#folder, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue
      const path = `${this.#folder}/${entry.name}`
      const whole = fs.existsSync(`${path}/${VM_FILE}`)
      if (entry.name.startsWith(DELETED) || (!whole && fs.existsSync(`${path}/${CREATING}`))) {
        await fs.promises.rm(path, { recursive: true, force: true })
      } else if (whole) {
        await this.#openVm(entry.name, path, expire)
      }
    }
  }

  async #openVm(id: string, path: string, expire: string | undefined): Promise<void> {
    try {
      const noted = fs.existsSync(`${path}/${CBT_EXPIRE}`) ? 'the machine went down while the VM was damaged' : undefined
      const vm = await Vm.open(path, this.#deps, expire ?? noted)
      fs.rmSync(`${path}/${CBT_EXPIRE}`, { force: true })
      if (vm.state.id !== id) {
        await vm.close()
        throw new DatastoreError('DATASTORE_DAMAGED', 'vm.json belongs to another folder', { path })
      }
      this.#vms.set(id, vm)
    } catch (err) {
      this.#deps.log.error({ vmId: id, err }, 'VM can not be opened')
      // For the start after it was repaired.
      if (expire !== undefined) fs.writeFileSync(`${path}/${CBT_EXPIRE}`, expire)
      this.#damaged.set(id, err)
    }
  }

  listVms(): readonly VmRecord[] {
    return [...this.#vms.values()].map(vm => recordOf(vm.state))
  }

  getVm(vmId: string): VmRecord {
    return recordOf(this.#vm(vmId).state)
  }

  async createVm(given: Parameters<Datastore['createVm']>[0]): Promise<VmRecord> {
    this.#checkOpen()
    const id = given.id ?? randomUUID()
    checkId(id, 'VM')
    for (const disk of given.disks) checkDisk(disk)
    const ids = new Set(given.disks.map(disk => disk.id))
    if (ids.size !== given.disks.length) throw new DatastoreError('NAME_TAKEN', 'two disks have one id', { vmId: id })
    const folder = `${this.#folder}/${id}`
    if (this.#vms.has(id) || this.#pending.has(id) || fs.existsSync(folder)) {
      throw new DatastoreError('NAME_TAKEN', 'a VM has this id', { vmId: id })
    }
    const state: VmState = {
      format: 1,
      id,
      name: given.name,
      power: 'off',
      createdAt: new Date().toISOString(),
      config: given.config,
      versionId: 0,
      incId: 0,
      disks: given.disks.map(newDisk),
      snapshots: [],
    }
    this.#pending.add(id)
    try {
      await fs.promises.mkdir(folder)
      await fs.promises.writeFile(`${folder}/${CREATING}`, '')
      const vm = new Vm(folder, state, this.#deps)
      for (const disk of state.disks) await createBase(vm, disk)
      await writeVmState(folder, state)
      await fs.promises.rm(`${folder}/${CREATING}`, { force: true })
      await syncFolder(this.#folder)
      for (const disk of state.disks) await vm.openDisk(disk)
      this.#vms.set(id, vm)
      return recordOf(state)
    } catch (error) {
      await fs.promises.rm(folder, { recursive: true, force: true })
      throw error
    } finally {
      this.#pending.delete(id)
    }
  }

  async updateVm(vmId: string, change: Parameters<Datastore['updateVm']>[1]): Promise<VmRecord> {
    const vm = this.#vm(vmId)
    return vm.changes.run(async () => {
      const { name = vm.state.name, config = vm.state.config, power = vm.state.power } = change
      await vm.commit({ ...vm.state, name, config, power })
      return recordOf(vm.state)
    })
  }

  async deleteVm(vmId: string): Promise<void> {
    const vm = this.#vm(vmId)
    this.#vms.delete(vmId)
    await vm.close()
    const gone = `${this.#folder}/${DELETED}${randomUUID()}`
    await fs.promises.rename(vm.folder, gone)
    await syncFolder(this.#folder)
    await fs.promises.rm(gone, { recursive: true, force: true })
  }

  async addDisk(vmId: string, disk: { readonly id: string; readonly size: number }): Promise<VmRecord> {
    const vm = this.#vm(vmId)
    checkDisk(disk)
    return vm.changes.run(async () => {
      if (vm.disks.has(disk.id)) throw new DatastoreError('NAME_TAKEN', 'the VM has a disk of this id', { vmId, diskId: disk.id })
      await createBase(vm, disk)
      const added = newDisk(disk)
      await vm.commit({ ...vm.state, disks: [...vm.state.disks, added] })
      await vm.openDisk(added)
      return recordOf(vm.state)
    })
  }

  async resizeDisk(vmId: string, diskId: string, size: number): Promise<VmRecord> {
    const vm = this.#vm(vmId)
    checkDisk({ id: diskId, size })
    return vm.changes.run(async () => {
      const disk = vm.diskState(diskId)
      if (vm.state.snapshots.length > 0) throw new DatastoreError('HAS_SNAPSHOTS', 'the VM has snapshots', { vmId })
      if (disk.size === size) return recordOf(vm.state)
      vm.disk(diskId).tracker?.expire(new DatastoreError('CBT_EXPIRED', 'the disk was resized'))
      // Committed first: what a crash leaves of the file work is made good when the layer is opened.
      await vm.commit(vm.withDisks([diskId], state => ({ ...state, size, cbtExpired: state.cbt })))
      await vm.reopenDisks(() => resizeLayerFiles(vm.path(baseName(diskId)), size, this.#deps))
      return recordOf(vm.state)
    })
  }

  async replaceDisk(vmId: string, diskId: string): Promise<VmRecord> {
    const vm = this.#vm(vmId)
    return vm.changes.run(async () => {
      const { size } = vm.diskState(diskId)
      if (vm.state.snapshots.length > 0) throw new DatastoreError('HAS_SNAPSHOTS', 'the VM has snapshots', { vmId })
      await vm.commit(vm.withDisks([diskId], state => ({ ...state, serial: newSerial() })))
      await vm.reopenDisks(async () => {
        await removeLayerFiles(vm.path(baseName(diskId)), size)
        await createBase(vm, { id: diskId, size })
      })
      return recordOf(vm.state)
    })
  }

  async createSnapshot(vmId: string, snapshot: Parameters<Datastore['createSnapshot']>[1]): ReturnType<Datastore['createSnapshot']> {
    const vm = this.#vm(vmId)
    const { generation: _, ...record } = await vm.changes.run(() => takeSnapshot(vm, snapshot))
    return record
  }

  async deleteSnapshot(vmId: string, snapshotId: string, options: Parameters<Datastore['deleteSnapshot']>[2] = {}): Promise<void> {
    await deleteSnapshot(this.#vm(vmId), snapshotId, options)
  }

  async revertSnapshot(vmId: string, snapshotId: string): Promise<void> {
    const vm = this.#vm(vmId)
    await vm.merges.run(() => vm.changes.run(() => revertSnapshot(vm, snapshotId)))
  }

  async setCbt(vmId: string, change: 'enable' | 'disable' | 'reset', diskIds?: readonly string[]): Promise<void> {
    const vm = this.#vm(vmId)
    for (const id of diskIds ?? []) vm.diskState(id)
    await vm.changes.run(async () => {
      if (change === 'enable') await enableCbt(vm, diskIds)
      else if (change === 'disable') await disableCbt(vm, diskIds)
      else await resetCbt(vm)
    })
  }

  async changedAreas(query: Parameters<Datastore['changedAreas']>[0]): ReturnType<Datastore['changedAreas']> {
    return changedAreas(this.#vm(query.vmId), query)
  }

  async openDisk(vmId: string, diskId: string): ReturnType<Datastore['openDisk']> {
    const vm = this.#vm(vmId)
    return liveBackend(vm, vm.disk(diskId))
  }

  async openSnapshotDisk(vmId: string, snapshotId: string, diskId: string): ReturnType<Datastore['openSnapshotDisk']> {
    const vm = this.#vm(vmId)
    const disk = vm.snapshot(snapshotId).disks.find(candidate => candidate.id === diskId)
    if (disk === undefined) throw new DatastoreError('DISK_NOT_FOUND', 'the snapshot has no such disk', { vmId, snapshotId, diskId })
    return snapshotBackend(vm, vm.disk(diskId), snapshotId, disk.size)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    try {
      for (const vm of this.#vms.values()) await vm.close()
      await endBoot(this.#folder, this.#bootId)
    } finally {
      this.#unlock()
    }
  }

  #vm(vmId: string): Vm {
    this.#checkOpen()
    const vm = this.#vms.get(vmId)
    if (vm !== undefined) return vm
    const cause = this.#damaged.get(vmId)
    if (cause !== undefined) throw new DatastoreError('DATASTORE_DAMAGED', 'the files of the VM can not be understood', { vmId }, { cause })
    throw new DatastoreError('VM_NOT_FOUND', 'no such VM', { vmId })
  }

  #checkOpen(): void {
    if (this.#closed) throw new DatastoreError('DATASTORE_CLOSED', 'the datastore is closed')
  }
}

function newDisk(disk: { readonly id: string; readonly size: number }): VmState['disks'][number] {
  return { id: disk.id, size: disk.size, cbt: false, cbtExpired: false, trackingId: '', serial: newSerial() }
}

function newSerial(): string {
  return randomBytes(10).toString('hex')
}

function checkDisk(disk: { readonly id: string; readonly size: number }): void {
  checkId(disk.id, 'disk')
  if (!isDiskSize(disk.size)) {
    throw new DatastoreError('DISK_SIZE_INVALID', 'a disk has a multiple of 512 bytes, at most 128 TiB', {
      diskId: disk.id,
      size: disk.size,
    })
  }
}

async function createBase(vm: Vm, disk: { readonly id: string; readonly size: number }): Promise<void> {
  const layer = await vm.createBase(disk)
  try {
    await layer.sync()
  } finally {
    await layer.close()
  }
}
