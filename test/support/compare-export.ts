import { open } from 'node:fs/promises'
import type { NbdClient } from '@varve/nbd'

/** First offset at which an export and a raw file differ, null when every byte is equal. Sizes must be equal too. */
export async function firstDifference(disk: NbdClient, file: string): Promise<number | null> {
  const handle = await open(file)
  try {
    const { size } = await handle.stat()
    if (size !== disk.size) return Math.min(size, disk.size)
    const step = 4 * 1024 * 1024
    const ours = Buffer.alloc(step)
    const theirs = Buffer.alloc(step)
    for (let offset = 0; offset < size; offset += step) {
      const length = Math.min(step, size - offset)
      await Promise.all([disk.readInto(offset, ours.subarray(0, length)), handle.read(theirs, 0, length, offset)])
      if (ours.compare(theirs, 0, length, 0, length) !== 0) {
        for (let i = 0; i < length; i += 1) if (ours[i] !== theirs[i]) return offset + i
      }
    }
    return null
  } finally {
    await handle.close()
  }
}
