import fs from 'node:fs'
import type { Logger } from '@varve/runtime'
import { DatastoreError } from './errors.ts'
import { createLayer, type Layer, type LayerDeps, openLayer } from './layer.ts'
import { LiveDisk } from './live-disk.ts'
import { Mutex } from './mutex.ts'
import { baseName, bitmapName, cbtName, foldingName, isDatastoreFile, mapName, overlayName } from './names.ts'
import { recoverTracker } from './recover-tracker.ts'
import type { Step } from './step.ts'
import type { Tracker } from './tracker.ts'
import { type DiskState, readVmState, type SnapshotState, type VmState, writeVmState } from './vm-file.ts'
import { WriteGate } from './write-gate.ts'

export interface VmDeps extends LayerDeps {
  readonly log: Logger
  readonly step: Step
  /** Bytes per second that a merge copies. */
  readonly mergeRate: number
}

/** One VM in this process: its record, its live disks, and what orders the things that happen to it. */
export class Vm {
  readonly folder: string
  readonly deps: VmDeps
  readonly log: Logger
  readonly disks = new Map<string, LiveDisk>()
  /** Holds the writes of all disks at once. */
  readonly gate = new WriteGate()
  /** Changes of the record, one after the other. Never held for the length of a merge. */
  readonly changes = new Mutex()
  /** Merges, one after the other. */
  readonly merges = new Mutex()
  readonly closing = new AbortController()
  state: VmState

  constructor(folder: string, state: VmState, deps: VmDeps) {
    this.folder = folder
    this.state = state
    this.deps = deps
    this.log = deps.log.child({ vmId: state.id })
  }

  /** Open the VM of a folder and repair what a crash left. `expire`: why no CBT answer can be trusted (a power cut), if so. */
  static async open(folder: string, deps: VmDeps, expire: string | undefined): Promise<Vm> {
    const vm = new Vm(folder, readVmState(folder), deps)
    try {
      vm.#removeLeftovers()
      for (const disk of vm.state.disks) await vm.openDisk(disk)
      await vm.#openTrackers(expire)
      return vm
    } catch (error) {
      await vm.close()
      throw error
    }
  }

  path(name: string): string {
    return `${this.folder}/${name}`
  }

  /** Make this the VM's record. In force when resolved; when it throws, the old one is. */
  async commit(state: VmState): Promise<void> {
    await writeVmState(this.folder, state)
    this.state = state
    this.deps.step('vm-commit')
  }

  disk(diskId: string): LiveDisk {
    const disk = this.disks.get(diskId)
    if (disk === undefined) throw new DatastoreError('DISK_NOT_FOUND', 'no such disk', { vmId: this.state.id, diskId })
    return disk
  }

  diskState(diskId: string): DiskState {
    const disk = this.state.disks.find(candidate => candidate.id === diskId)
    if (disk === undefined) throw new DatastoreError('DISK_NOT_FOUND', 'no such disk', { vmId: this.state.id, diskId })
    return disk
  }

  /** A snapshot that can still be read, or with `deleting` any that is there. */
  snapshot(snapshotId: string, deleting = false): SnapshotState {
    const snapshot = this.state.snapshots.find(candidate => candidate.id === snapshotId)
    if (snapshot === undefined || (snapshot.deleting && !deleting)) {
      throw new DatastoreError('SNAPSHOT_NOT_FOUND', snapshot === undefined ? 'no such snapshot' : 'the snapshot is being deleted', {
        vmId: this.state.id,
        snapshotId,
      })
    }
    return snapshot
  }

  overlayPath(diskId: string, snapshot: { readonly id: string; readonly generation: number }): string {
    return this.path(overlayName(diskId, snapshot.id, snapshot.generation))
  }

  async createBase(disk: { readonly id: string; readonly size: number }): Promise<Layer> {
    return createLayer(this.path(baseName(disk.id)), undefined, disk.size, this.deps)
  }

  /** Open the layers of a disk that the record names. */
  async openDisk(disk: DiskState): Promise<LiveDisk> {
    const layers: Layer[] = []
    try {
      layers.push(await openLayer(this.path(baseName(disk.id)), undefined, disk.size, this.deps))
      for (const snapshot of this.state.snapshots) {
        if (!snapshot.disks.some(candidate => candidate.id === disk.id)) continue
        const layer = await openLayer(this.overlayPath(disk.id, snapshot), snapshot.id, disk.size, this.deps)
        layer.draining = snapshot.deleting
        layers.push(layer)
      }
    } catch (cause) {
      for (const layer of layers) await layer.close()
      throw new DatastoreError(
        'DATASTORE_DAMAGED',
        'a layer of the disk can not be opened',
        { vmId: this.state.id, diskId: disk.id },
        { cause },
      )
    }
    const live = new LiveDisk(disk.id, disk.size, layers, this.gate)
    this.disks.set(disk.id, live)
    return live
  }

  /** Close all disks, do something to their files, and open them as the record has them now. Open backends of them fail from then on. */
  async reopenDisks(between: () => Promise<void> = async () => {}): Promise<void> {
    await this.gate.hold()
    try {
      for (const disk of this.disks.values()) await disk.close()
      this.disks.clear()
      await between()
      for (const disk of this.state.disks) await this.openDisk(disk)
      await this.#openTrackers(undefined)
    } finally {
      this.gate.resume()
    }
  }

  /** Called by a tracker that can't go on: the guest does, its CBT has expired. */
  readonly trackerExpired = (tracker: Tracker, cause: unknown): void => {
    const disk = [...this.disks.values()].find(candidate => candidate.tracker === tracker)
    if (disk === undefined) return
    this.log.warn({ diskId: disk.id, err: cause }, 'CBT expired')
    this.changes
      .run(async () => {
        // A reset may have replaced it meanwhile.
        if (disk.tracker === tracker) await this.commit(this.withDisks([disk.id], state => ({ ...state, cbtExpired: state.cbt })))
      })
      .catch(err => this.log.error({ diskId: disk.id, err }, 'expired CBT not recorded; the CBT file has it'))
  }

  /** The record with some disks changed. */
  withDisks(diskIds: readonly string[], change: (disk: DiskState) => DiskState): VmState {
    return { ...this.state, disks: this.state.disks.map(disk => (diskIds.includes(disk.id) ? change(disk) : disk)) }
  }

  async close(): Promise<void> {
    this.closing.abort(new DatastoreError('DATASTORE_CLOSED', 'the datastore is closing'))
    await this.merges.run(async () => {})
    await this.changes.run(async () => {
      await this.gate.hold()
      try {
        for (const disk of this.disks.values()) {
          try {
            await disk.flush()
          } finally {
            await disk.close()
          }
        }
        this.disks.clear()
      } finally {
        this.gate.resume()
      }
    })
  }

  async #openTrackers(expire: string | undefined): Promise<void> {
    const expired: string[] = []
    for (const state of this.state.disks) {
      if (!state.cbt || state.cbtExpired) continue
      try {
        if (expire !== undefined) throw new DatastoreError('CBT_EXPIRED', expire)
        this.disk(state.id).tracker = await recoverTracker(this, state)
      } catch (err) {
        if (err instanceof DatastoreError && err.code === 'DATASTORE_FULL') throw err
        this.log.warn({ diskId: state.id, err }, 'CBT expired')
        expired.push(state.id)
      }
    }
    if (expired.length > 0) await this.commit(this.withDisks(expired, disk => ({ ...disk, cbtExpired: true })))
  }

  /** Remove files that a crash left and the record does not name. */
  #removeLeftovers(): void {
    const named = new Set<string>()
    for (const disk of this.state.disks) {
      const names = [baseName(disk.id), ...this.state.snapshots.map(snapshot => overlayName(disk.id, snapshot.id, snapshot.generation))]
      for (const name of names) named.add(name).add(mapName(name))
      if (disk.cbt)
        for (const name of [cbtName(disk.id), `${cbtName(disk.id)}.new`, bitmapName(disk.id), foldingName(disk.id)]) named.add(name)
    }
    for (const name of fs.readdirSync(this.folder)) {
      const whole = name.replace(/\.\d+$/, '')
      if (isDatastoreFile(name) && !named.has(name) && !named.has(whole)) fs.rmSync(this.path(name), { force: true })
    }
  }
}
