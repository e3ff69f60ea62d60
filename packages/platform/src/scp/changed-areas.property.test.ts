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
  // Figures near the right ones, so that wrong answers are often nearly right.
  const near = (min: number, max: number): fc.Arbitrary<number> => fc.integer({ min, max }).map(n => n * GRANULARITY)
  const slip = fc.oneof({ weight: 12, arbitrary: fc.constant(0) }, fc.constantFrom(1, 512, -512, GRANULARITY))
  const page = fc.record({
    areas: fc.array(fc.record({ start: near(-1, 3), length: fc.oneof(near(1, 1), near(0, 2)), slip }), { maxLength: 2 }),
    slip,
    length: fc.oneof({ weight: 4, arbitrary: near(2, 4) }, near(0, 1)),
  })
  let accepted = 0
  fc.assert(
    fc.property(fc.array(page, { minLength: 1, maxLength: 30 }), pages => {
      const reader = new AreasReader(SIZE, 20)
      let end = 0
      try {
        for (const { areas, slip: off, length: window } of pages) {
          const before = reader.offset
          const changed_area = areas.map(area => ({ start: before + area.start, length: area.length + area.slip }))
          for (const { offset, length } of reader.take({ changed_area, start_offset: before + off, length: window })) {
            accepted += 1
            expect(length).toBeGreaterThan(0)
            expect(offset).toBeGreaterThanOrEqual(end)
            end = offset + length
            expect(end).toBeLessThanOrEqual(SIZE)
          }
          expect(reader.offset).toBeGreaterThan(before)
          expect(end).toBeLessThanOrEqual(Math.min(reader.offset, SIZE))
          if (reader.done) return
        }
      } catch (error) {
        if (!(error instanceof PlatformError)) throw error
        expect(error.code).toBe('CBT_ANSWER_INVALID')
      }
    }),
    { numRuns: 1000 },
  )
  // Usually about 230: the generator must not only make what is refused at once.
  expect(accepted).toBeGreaterThan(20)
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
