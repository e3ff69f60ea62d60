import type { NbdClient } from '@varve/nbd'
import { PIECE } from './guest-data.ts'
import type { GuestDisk } from './guest-disk.ts'

export interface Comparison {
  readonly bytes: number
  /** The moment, as the guest counts its writes, that all disks together show: after write `from`, before write `to`. */
  readonly from: number
  readonly to: number
  readonly differences: readonly { readonly diskId: string; readonly offset: number; readonly why: string }[]
}

/** Pieces read at once: 2 MiB. */
const STEP = 32

/**
 * Read every byte of the restored disks and hold it against what the guest wrote. The guest goes on writing while a backup
 * runs, so the content must be that of *one* moment, the same for all disks: the intersection of the moments that the single pieces
 * fit must not be empty.
 */
export async function compareDisks(
  pairs: readonly { readonly disk: GuestDisk; readonly restored: NbdClient }[],
  onProgress: (bytes: number) => void,
): Promise<Comparison> {
  const differences: { diskId: string; offset: number; why: string }[] = []
  let bytes = 0
  let from = 0
  let to = Number.POSITIVE_INFINITY
  const buffer = Buffer.alloc(STEP * PIECE)
  for (const { disk, restored } of pairs) {
    if (restored.size !== disk.size) {
      differences.push({ diskId: disk.id, offset: 0, why: `the disk has ${restored.size} bytes, not ${disk.size}` })
      continue
    }
    for (let first = 0; first < disk.pieces; first += STEP) {
      const count = Math.min(STEP, disk.pieces - first)
      const target = buffer.subarray(0, count * PIECE)
      await restored.readInto(first * PIECE, target)
      for (let i = 0; i < count; i += 1) {
        const offset = (first + i) * PIECE
        const moments = disk.moments(first + i, target.subarray(i * PIECE, (i + 1) * PIECE))
        if (moments === null) {
          differences.push({ diskId: disk.id, offset, why: 'bytes that the guest never wrote there' })
          continue
        }
        if (moments.from >= to || moments.to <= from) {
          differences.push({
            diskId: disk.id,
            offset,
            why: `bytes of another moment (${moments.from}..${moments.to}, the rest shows ${from}..${to})`,
          })
          continue
        }
        from = Math.max(from, moments.from)
        to = Math.min(to, moments.to)
      }
      bytes += count * PIECE
      onProgress(bytes)
    }
  }
  return { bytes, from, to, differences }
}
