import type { NbdBackend } from '@varve/nbd'
import { answering } from './backend-errors.ts'
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
  const zero = (offset: number, length: number, fua: boolean): Promise<void> =>
    answering(async () => {
      check(offset, length)
      await disk.zero(offset, length)
      if (fua) await disk.flush()
    })
  return {
    size,
    readOnly: false,
    blockSize: BLOCK_SIZE,
    read: (offset, target) =>
      answering(async () => {
        check(offset, target.length)
        await disk.read(offset, target)
      }),
    write: (offset, bytes, fua) =>
      answering(async () => {
        check(offset, bytes.length)
        await disk.write(offset, bytes)
        if (fua) await disk.flush()
      }),
    flush: () =>
      answering(async () => {
        check(0, 0)
        await disk.flush()
      }),
    trim: zero,
    writeZeroes: zero,
    blockStatus: (offset, length) =>
      answering(async () => {
        check(offset, length)
        return disk.status(offset, length)
      }),
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
  const refuse = (): Promise<never> =>
    answering(async () => {
      throw new DatastoreError('READ_ONLY', 'a snapshot can not be written')
    })
  return {
    size,
    readOnly: true,
    blockSize: { ...BLOCK_SIZE, preferred: GRAIN },
    read: (offset, target) =>
      answering(async () => {
        checkRange(offset, target.length, size)
        await disk.readSnapshot(offset, target, depth)
        depth()
      }),
    write: refuse,
    async flush() {},
    trim: refuse,
    writeZeroes: refuse,
    blockStatus: (offset, length) =>
      answering(async () => {
        checkRange(offset, length, size)
        return disk.status(offset, length, depth())
      }),
    async close() {},
  }
}

function checkRange(offset: number, length: number, size: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0 || length < 0 || offset + length > size) {
    throw new DatastoreError('RANGE_INVALID', 'the request reaches past the end of the disk', { offset, length, size })
  }
}
