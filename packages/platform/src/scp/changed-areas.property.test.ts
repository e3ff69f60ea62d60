import { GRANULARITY } from '@varve/cbt'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PlatformError } from '../errors.ts'
import { type AreasPage, AreasReader } from './changed-areas.ts'

const GRANULES = 12
const SIZE = GRANULES * GRANULARITY - 512

/** A sound platform: the changed granules as merged extents, cut into answers at the given places, the tail clamped or not. */
function answersOf(changed: readonly boolean[], cuts: ReadonlySet<number>, clampTail: boolean): AreasPage[] {
  const clamp = (end: number): number => (clampTail ? Math.min(end, SIZE) : end)
  const pages: AreasPage[] = []
  let from = 0
  for (let to = 1; to <= GRANULES; to++) {
    if (to < GRANULES && !cuts.has(to)) continue
    const areas: { start: number; length: number }[] = []
    for (let g = from; g < to; g++) {
      if (!changed[g]) continue
      const start = g * GRANULARITY
      const end = clamp(start + GRANULARITY)
      const last = areas.at(-1)
      if (last !== undefined && last.start + last.length === start) last.length = end - last.start
      else areas.push({ start, length: end - start })
    }
    pages.push({ changed_area: areas, start_offset: from * GRANULARITY, length: clamp(to * GRANULARITY) - from * GRANULARITY })
    from = to
  }
  return pages
}

const disk = fc.array(fc.boolean(), { minLength: GRANULES, maxLength: GRANULES })
const cuts = fc.uniqueArray(fc.integer({ min: 1, max: GRANULES - 1 })).map(list => new Set(list))

test('the answers of a sound platform give exactly its changed bytes', () => {
  fc.assert(
    fc.property(disk, cuts, fc.boolean(), (changed, at, clampTail) => {
      const reader = new AreasReader(SIZE, 100)
      const bytes = new Array<boolean>(GRANULES).fill(false)
      for (const page of answersOf(changed, at, clampTail)) {
        expect(reader.done).toBe(false)
        for (const { offset, length } of reader.take(page)) {
          expect(offset + length).toBeLessThanOrEqual(SIZE)
          for (let o = offset; o < offset + length; o += GRANULARITY) bytes[o / GRANULARITY] = true
        }
      }
      expect(reader.done).toBe(true)
      expect(bytes).toEqual(changed)
    }),
  )
})

test('whatever is answered: extents ascend inside the disk, or CBT_ANSWER_INVALID, and it ends', () => {
  const figure = fc.integer({ min: -2, max: GRANULES + 2 }).map(n => n * GRANULARITY)
  const odd = fc.oneof({ weight: 5, arbitrary: figure }, fc.integer({ min: -1, max: SIZE + 1 }))
  const page = fc.record({
    changed_area: fc.array(fc.record({ start: odd, length: odd }), { maxLength: 3 }),
    start_offset: odd,
    length: odd,
  })
  fc.assert(
    fc.property(fc.array(page, { minLength: 1, maxLength: 40 }), pages => {
      const reader = new AreasReader(SIZE, 20)
      let end = 0
      try {
        for (const answer of pages) {
          const before = reader.offset
          for (const { offset, length } of reader.take({
            ...answer,
            start_offset: answer.start_offset % 3 === 0 ? reader.offset : answer.start_offset,
          })) {
            expect(length).toBeGreaterThan(0)
            expect(offset).toBeGreaterThanOrEqual(end)
            end = offset + length
            expect(end).toBeLessThanOrEqual(SIZE)
          }
          expect(reader.offset).toBeGreaterThan(before)
          if (reader.done) return
        }
      } catch (error) {
        if (!(error instanceof PlatformError)) throw error
        expect(error.code).toBe('CBT_ANSWER_INVALID')
      }
    }),
    { numRuns: 500 },
  )
})

const K = GRANULARITY
const whole = { start_offset: 0, length: 4 * K }
test.each<[string, AreasPage]>([
  [
    'overlaps',
    {
      ...whole,
      changed_area: [
        { start: 0, length: 2 * K },
        { start: K, length: K },
      ],
    },
  ],
  [
    'goes backwards',
    {
      ...whole,
      changed_area: [
        { start: 2 * K, length: K },
        { start: 0, length: K },
      ],
    },
  ],
  ['passes the end', { ...whole, changed_area: [{ start: 3 * K, length: 2 * K }] }],
  ['has an empty extent', { ...whole, changed_area: [{ start: 0, length: 0 }] }],
  ['covers nothing', { start_offset: 0, length: 0, changed_area: [] }],
  ['covers more than the disk', { start_offset: 0, length: 5 * K, changed_area: [] }],
  ['begins elsewhere', { start_offset: K, length: K, changed_area: [] }],
  ['tells of what it does not cover', { start_offset: 0, length: K, changed_area: [{ start: K, length: K }] }],
  ['is not made of sectors', { ...whole, changed_area: [{ start: 100, length: K }] }],
])('an answer that %s is CBT_ANSWER_INVALID', (_name, page) => {
  expect(() => new AreasReader(4 * K, 10).take(page)).toThrow(expect.objectContaining({ code: 'CBT_ANSWER_INVALID' }))
})

test('what overlaps the answer before is CBT_ANSWER_INVALID', () => {
  const reader = new AreasReader(4 * K, 10)
  reader.take({ start_offset: 0, length: 2 * K, changed_area: [{ start: K, length: K }] })
  expect(() => reader.take({ start_offset: 2 * K, length: 2 * K, changed_area: [{ start: K, length: 2 * K }] })).toThrow('overlaps')
})
