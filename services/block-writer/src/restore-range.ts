import { blockLength } from '@varve/block-map'
import type { RangeResult } from '@varve/catalog-client'
import type { Extent } from '@varve/cbt'
import type { NbdClient } from '@varve/nbd'
import type { RangeProgress, Throttle } from '@varve/range-worker'
import { type KeptBuffers, type Repository, RepositoryError } from '@varve/repository'
import { BlockWriterError } from './errors.ts'
import { loadPages } from './image-pages.ts'
import { WriteBehind } from './write-behind.ts'
import { alignExtents, type BlockToWrite, type DiskGeometry, planWrites } from './write-plan.ts'

/** What of which image is written. */
export interface WriteTask extends DiskGeometry {
  readonly firstPage: number
  readonly pageCount: number
  /** Every byte in these becomes that of the image. Empty: the target is empty, all blocks that are not zero. */
  readonly extents: readonly Extent[]
  /** Encoded references to the image's pages that the range covers. */
  readonly sourcePages: Uint8Array
  readonly onDamage: 'fail' | 'continue'
}

export interface WriteDeps {
  readonly target: Pick<NbdClient, 'size' | 'minimumBlockSize' | 'write' | 'writeZeroes' | 'flush'>
  readonly repository: Pick<Repository, 'getPages' | 'readBlocks'>
  /** To write from, kept from range to range; none: new ones. */
  readonly buffers?: KeptBuffers
  /** Of the connection to the target; none: as fast as it goes. */
  readonly throttle?: Pick<Throttle, 'admit'>
  /** Gets of blocks at the same time; the repository's own number when absent. */
  readonly getsInFlight?: number | undefined
  readonly signal: AbortSignal
  /** Called after each block, and each extent of zeros, with the bytes so far. */
  readonly onProgress?: (progress: RangeProgress) => void
}

/**
 * Bring one range of a disk back from the repository.
 *
 *     pages -> blocks in pack order, each checked against its hash -> writes, joined where they meet
 *           -> zeros where the target may hold something else
 *     flush
 *
 * Effect: the bytes are durable on the target. Safe to repeat: it writes the same bytes again.
 *
 * @throws RepositoryError BLOCK_DAMAGED, MAP_MISSING, MAP_DAMAGED where damage is not to be passed over; NbdError, BlockWriterError
 */
export async function restoreRange(task: WriteTask, deps: WriteDeps): Promise<RangeResult> {
  const { target, repository, buffers, throttle, getsInFlight, signal, onProgress } = deps
  const { diskSize, blockSize, onDamage } = task
  if (target.size < diskSize) {
    throw new BlockWriterError('TARGET_SIZE_DIFFERS', `the target has ${target.size} bytes, the image ${diskSize}`)
  }
  const started = performance.now()
  const pages = await loadPages(task, repository, signal)
  let storeMs = performance.now() - started
  const extents = alignExtents(task.extents, target.minimumBlockSize, diskSize)
  const plan = planWrites({ ...task, lookup: pages.lookup }, extents, task)
  const damage = task.extents.length === 0 ? [...pages.damage] : clip(pages.damage, task.extents)
  const counts = { read: 0, written: 0, zero: 0 }
  const behind = new WriteBehind(target, throttle && { throttle, signal }, buffers)
  try {
    for (const { offset, length } of plan.zeros) {
      signal.throwIfAborted()
      await behind.writeZeroes(offset, length)
      counts.zero += length
      onProgress?.({ read: counts.read, written: counts.written })
    }
    const requests = plan.blocks.map(({ page, entry }, index) => ({ index, page, entry }))
    const onWaited = (ms: number): void => {
      storeMs += ms
    }
    for await (const block of repository.readBlocks(requests, { inFlight: getsInFlight, signal, onWaited })) {
      signal.throwIfAborted()
      const wanted = plan.blocks[block.index]!
      const bytes = bytesOrWhyNot(block, wanted, task)
      if (bytes instanceof RepositoryError) {
        if (onDamage === 'fail') throw bytes
        damage.push(...wanted.parts.map(part => ({ ...part, code: bytes.code })))
      } else {
        counts.read += wanted.page.entry(wanted.entry)?.storedLength ?? 0
        for (const { offset, length } of wanted.parts) {
          const at = offset - wanted.blockIndex * blockSize
          await behind.write(offset, bytes.subarray(at, at + length))
          counts.written += length
        }
      }
      onProgress?.({ read: counts.read, written: counts.written })
    }
    await behind.finish()
  } catch (error) {
    await behind.settle()
    throw error
  }
  const source = Math.round(behind.waitMs)
  const throttled = Math.round(behind.heldMs)
  const store = Math.round(storeMs)
  // As in a backup, source is the platform's disk and store the repository.
  const cpu = Math.max(0, Math.round(performance.now() - started) - source - throttled - store)
  const time = { source, throttle: throttled, cpu, store }
  return { ...counts, unchanged: 0, pages: '', objects: [], damage: joined(damage), time }
}

/** A block of the wrong length can't be what was backed up, whatever its hash says. */
function bytesOrWhyNot(
  block: { readonly bytes?: Uint8Array | undefined; readonly damage?: RepositoryError | undefined },
  { blockIndex }: BlockToWrite,
  { diskSize, blockSize }: DiskGeometry,
): Uint8Array | RepositoryError {
  const length = blockLength(diskSize, blockSize, blockIndex)
  if (block.bytes?.length === length) return block.bytes
  const offset = blockIndex * blockSize
  const why = block.damage?.message ?? `it has ${block.bytes?.length} bytes`
  return new RepositoryError(
    'BLOCK_DAMAGED',
    `the ${length} bytes from ${offset} on cannot be restored: ${why}`,
    { offset, length },
    { cause: block.damage },
  )
}

type Damage = RangeResult['damage'][number]

/** The parts of damaged pages that were to be written. */
function clip(damage: readonly Damage[], extents: readonly Extent[]): Damage[] {
  return damage.flatMap(lost =>
    extents
      .map(({ offset, length }) => ({ start: Math.max(offset, lost.offset), end: Math.min(offset + length, lost.offset + lost.length) }))
      .filter(({ start, end }) => start < end)
      .map(({ start, end }) => ({ offset: start, length: end - start, code: lost.code })),
  )
}

/** In order, neighbours of the same kind as one. */
function joined(damage: readonly Damage[]): Damage[] {
  const list: { offset: number; length: number; code: string }[] = []
  for (const { offset, length, code } of damage.toSorted((a, b) => a.offset - b.offset)) {
    const last = list.at(-1)
    if (last?.code === code && last.offset + last.length === offset) last.length += length
    else list.push({ offset, length, code })
  }
  return list
}
