import type { NbdBackend } from '@varve/nbd'
import { DatastoreError } from './errors.ts'
import { GRAIN } from './layer.ts'
import type { LiveDisk } from './live-disk.ts'
import type { Vm } from './vm.ts'

const BLOCK_SIZE = { minimum: 1, preferred: 4096 } as const

/** The live disk for a guest (or a restore). */
export function liveBackend(vm: Vm, disk: LiveDisk): NbdBackend {
  const { size } = disk
  const check = (offset: number, length: number): void => {
    if (vm.closing.signal.aborted || vm.disks.get(disk.id) !== disk) throw new DatastoreError('DATASTORE_CLOSED', 'the disk was closed')
    checkRange(offset, length, Math.min(size, disk.size))
  }
  return {
    size,
    readOnly: false,
    blockSize: BLOCK_SIZE,
    async read(offset, target) {
      check(offset, target.length)
      await disk.read(offset, target)
    },
    async write(offset, bytes, fua) {
      check(offset, bytes.length)
      await disk.write(offset, bytes)
      if (fua) await disk.flush()
    },
    async flush() {
      check(0, 0)
      await disk.flush()
    },
    async trim(offset, length, fua) {
      check(offset, length)
      await disk.zero(offset, length)
      if (fua) await disk.flush()
    },
    async writeZeroes(offset, length, fua) {
      check(offset, length)
      await disk.zero(offset, length)
      if (fua) await disk.flush()
    },
    async blockStatus(offset, length) {
      check(offset, length)
      return disk.status(offset, length)
    },
    async close() {},
  }
}

/** The disk as it was at a snapshot. Every answer is given only if the snapshot was still whole after it was read. */
export function snapshotBackend(vm: Vm, disk: LiveDisk, snapshotId: string, size: number): NbdBackend {
  const depth = (): number => {
    vm.snapshot(snapshotId)
    const found = disk.chain.depthOf(snapshotId)
    if (found === undefined || vm.disks.get(disk.id) !== disk) throw new DatastoreError('DATASTORE_CLOSED', 'the disk was closed')
    return found
  }
  const refuse = async (): Promise<never> => {
    throw new DatastoreError('READ_ONLY', 'a snapshot can not be written')
  }
  return {
    size,
    readOnly: true,
    blockSize: { ...BLOCK_SIZE, preferred: GRAIN },
    async read(offset, target) {
      checkRange(offset, target.length, size)
      await disk.readSnapshot(offset, target, depth)
      depth()
    },
    write: refuse,
    async flush() {},
    trim: refuse,
    writeZeroes: refuse,
    async blockStatus(offset, length) {
      checkRange(offset, length, size)
      return disk.status(offset, length, depth())
    },
    async close() {},
  }
}

function checkRange(offset: number, length: number, size: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0 || length < 0 || offset + length > size) {
    throw new DatastoreError('RANGE_INVALID', 'the request reaches past the end of the disk', { offset, length, size })
  }
}
