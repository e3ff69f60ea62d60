import type { ReadPiece } from '@varve/nbd'
import { MiB } from '@varve/runtime'
import { expect, test } from 'vitest'
import { readAhead, spanBuffers } from './read-ahead.ts'

const SPAN = 2 * MiB
const geometry = { diskSize: 64 * SPAN, blockSize: 256 * 1024 }
const pace = { throttle: { admit: () => undefined }, signal: new AbortController().signal, waited: { source: 0, throttle: 0 } }

/** A disk whose bytes at each span are its number; reads from `slowFrom` on land only when `release` is called. */
function disk(slowFrom = Number.POSITIVE_INFINITY) {
  const seen = new Set<ArrayBufferLike>()
  const held: (() => void)[] = []
  return {
    seen,
    release: () => {
      for (const land of held.splice(0)) land()
    },
    source: {
      blockStatusAvailable: false,
      blockStatus: async () => [],
      read: async (offset: number, length: number, into?: Uint8Array): Promise<readonly ReadPiece[]> => {
        seen.add(into!.buffer)
        if (offset >= slowFrom) await new Promise<void>(resolve => held.push(resolve))
        into!.fill(offset / SPAN + 1)
        return [{ offset, length, bytes: into }]
      },
    },
  }
}

const spans = (count: number) => [{ offset: 0, length: count * SPAN }]

test('ranges after each other read into the same few buffers, and each span holds its own bytes', async () => {
  const buffers = spanBuffers()
  const { source, seen } = disk()
  for (let range = 0; range < 3; range++) {
    for await (const { offset, pieces } of readAhead(spans(20), geometry, source, pace, buffers)) {
      const { bytes } = pieces![0]!
      expect([bytes!.length, bytes![0], bytes!.at(-1)]).toEqual([SPAN, offset / SPAN + 1, offset / SPAN + 1])
    }
  }
  expect(seen.size).toBe(4)
})

test('what still comes in for a range that was left never reaches the buffers of the next', async () => {
  const buffers = spanBuffers()
  const left = disk(4 * SPAN)
  let read = 0
  for await (const _ of readAhead(spans(20), geometry, left.source, pace, buffers)) if (++read === 3) break
  const next = disk()
  let first = true
  for await (const { offset, pieces } of readAhead(spans(12), geometry, next.source, pace, buffers)) {
    if (first) left.release()
    first = false
    await new Promise(resolve => setImmediate(resolve))
    expect(Buffer.alloc(SPAN, offset / SPAN + 1).equals(pieces![0]!.bytes!)).toBe(true)
  }
})
