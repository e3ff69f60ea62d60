import { MiB } from '@varve/runtime'
import { expect, test } from 'vitest'
import { WriteBehind, writeBuffers } from './write-behind.ts'

const LENGTH = 2 * MiB

/** A disk whose writes end when they are told to; each keeps what it was given, and a copy of it from the beginning. */
function slowDisk() {
  const writes: { readonly offset: number; readonly bytes: Uint8Array; readonly copy: Buffer; end(error?: Error): void }[] = []
  return {
    writes,
    disk: {
      write: (offset: number, bytes: Uint8Array) =>
        new Promise<void>((resolve, reject) => {
          writes.push({ offset, bytes, copy: Buffer.from(bytes), end: error => (error === undefined ? resolve() : reject(error)) })
        }),
      writeZeroes: async () => {},
      flush: async () => {},
    },
  }
}

async function restore(disk: ReturnType<typeof slowDisk>['disk'], count: number, buffers = writeBuffers()): Promise<void> {
  const behind = new WriteBehind(disk, undefined, buffers)
  try {
    // The caller's own buffer is used again at once, as `readBlocks` does.
    const block = Buffer.alloc(256 * 1024)
    for (let at = 0; at < count * LENGTH; at += block.length) await behind.write(at, block.fill(1 + ((at / block.length) % 250)))
    await behind.finish()
  } catch (error) {
    await behind.settle()
    throw error
  }
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

test('what is under way keeps its bytes; ranges after each other write from the same few buffers', async () => {
  const buffers = writeBuffers()
  const seen = new Set<ArrayBufferLike>()
  for (let range = 0; range < 3; range++) {
    const { disk, writes } = slowDisk()
    let done = false
    const restored = restore(disk, 20, buffers).then(() => (done = true))
    for (let ended = 0; !done; await turn()) {
      const open = writes.slice(ended)
      for (const { bytes, copy } of open) expect(copy.equals(bytes)).toBe(true)
      if (open.length < 5 && writes.length < 20) continue
      // The newest first: order is nobody's promise.
      for (const write of open.reverse()) write.end()
      ended = writes.length
    }
    await restored
    expect(writes.map(({ offset }) => offset / LENGTH)).toEqual(Array.from({ length: 20 }, (_, at) => at))
    for (const { bytes } of writes) seen.add(bytes.buffer)
  }
  expect(seen.size).toBeLessThanOrEqual(6)
})

test('the buffer of a write that failed is not used again: its connection may still read it', async () => {
  const buffers = writeBuffers()
  const failing = slowDisk()
  const restored = restore(failing.disk, 4, buffers).catch((error: Error) => error.message)
  while (failing.writes.length < 3) await turn()
  failing.writes[1]!.end(new Error('cut'))
  while (failing.writes.length < 4) await turn()
  for (const write of failing.writes) write.end()
  expect(await restored).toBe('cut')
  const lost = failing.writes[1]!
  const next = slowDisk()
  let done = false
  const again = restore(next.disk, 9, buffers).then(() => (done = true))
  for (; !done; await turn()) for (const write of next.writes) write.end()
  await again
  expect(next.writes.some(({ bytes }) => bytes.buffer === lost.bytes.buffer)).toBe(false)
  expect(lost.copy.equals(lost.bytes)).toBe(true)
})
