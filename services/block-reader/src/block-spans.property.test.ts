import { blockRuns, type Extent } from '@varve/cbt'
import type { ReadPiece } from '@varve/nbd'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { splitByAllocation } from './allocation.ts'
import { cutIntoSpans } from './block-spans.ts'
import { bytesOf } from './read-ahead.ts'

const BLOCK = 4
const extents = fc.array(fc.tuple(fc.nat(9), fc.integer({ min: 1, max: 9 })), { maxLength: 6 }).map(steps => {
  let at = 0
  return steps.map(([gap, length]): Extent => {
    const offset = at + gap
    at = offset + length
    return { offset, length }
  })
})

test('blockRuns and cutIntoSpans: exactly the blocks that are touched, each once, in order', () => {
  fc.assert(
    fc.property(extents, fc.nat(5), fc.integer({ min: 1, max: 12 }), (given, more, spanBytes) => {
      const last = given.at(-1)
      const diskSize = (last === undefined ? 1 : last.offset + last.length) + more
      const spans = [...blockRuns(given, { diskSize, blockSize: BLOCK })].flatMap(run => [...cutIntoSpans(run, BLOCK, spanBytes)])
      const blocks = spans.flatMap(({ offset, length }) => Array.from({ length: Math.ceil(length / BLOCK) }, (_, i) => offset / BLOCK + i))
      const model = new Set<number>()
      for (const { offset, length } of given) for (let at = offset; at < offset + length; at++) model.add(Math.floor(at / BLOCK))
      expect(blocks).toEqual([...model])
      for (const { offset, length } of spans) {
        expect(length).toBeLessThanOrEqual(Math.max(BLOCK, spanBytes))
        expect(offset + length === diskSize || length % BLOCK === 0).toBe(true)
      }
    }),
  )
})

test('bytesOf gives what the pieces hold, holes as zeros', () => {
  const pieces = fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.boolean()), { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(pieces, fc.nat(20), fc.integer({ min: 1, max: 10 }), (shape, from, count) => {
      let at = 100
      const list: ReadPiece[] = shape.map(([length, data]) => {
        const piece = { offset: at, length, bytes: data ? Uint8Array.from({ length }, (_, i) => at + i) : undefined }
        at += length
        return piece
      })
      const total = at - 100
      const start = from % total
      const length = Math.min(count, total - start)
      const model = Uint8Array.from({ length }, (_, i) => {
        const offset = 100 + start + i
        const piece = list.find(candidate => offset >= candidate.offset && offset < candidate.offset + candidate.length)!
        return piece.bytes === undefined ? 0 : offset
      })
      const bytes = bytesOf(list, 100 + start, length)
      expect([...(bytes ?? new Uint8Array(length))]).toEqual([...model])
      if (bytes === undefined) expect(model.every(byte => byte === 0)).toBe(true)
    }),
  )
})

test('splitByAllocation: covers the run in order, and calls zero only blocks that are zero as a whole', async () => {
  const MiB = 1024 * 1024
  const BIG = 4 * MiB
  const shape = fc.array(fc.tuple(fc.constantFrom(1 * MiB, 2 * MiB, 4 * MiB, 5 * MiB, 8 * MiB), fc.boolean()), {
    minLength: 8,
    maxLength: 20,
  })
  await fc.assert(
    fc.asyncProperty(shape, fc.integer({ min: 1, max: 4 }), async (parts, perAnswer) => {
      let at = 0
      const status = parts.map(([length, zero]) => {
        const extent = { offset: at, length, zero, hole: zero }
        at += length
        return extent
      })
      const diskSize = at
      const source = {
        blockStatusAvailable: true,
        blockStatus: async (offset: number) => {
          const rest = status.filter(extent => extent.offset + extent.length > offset)
          return rest.slice(0, perAnswer).map(extent => ({
            ...extent,
            offset: Math.max(offset, extent.offset),
            length: extent.offset + extent.length - Math.max(offset, extent.offset),
          }))
        },
      }
      let next = 0
      for await (const run of splitByAllocation({ offset: 0, length: diskSize }, source, { blockSize: BIG, diskSize })) {
        expect(run.offset).toBe(next)
        next += run.length
        if (diskSize < 32 * MiB) continue
        for (let block = run.offset; block < next; block += BIG) {
          const end = Math.min(block + BIG, diskSize)
          const allZero = status.every(extent => extent.zero || extent.offset >= end || extent.offset + extent.length <= block)
          expect(run.zero).toBe(allZero)
        }
      }
      expect(next).toBe(diskSize)
    }),
  )
})
