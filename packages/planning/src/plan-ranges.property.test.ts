import type { Extent } from '@varve/cbt'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type PlannedRange, planRanges, planRestore, planWholeDisk, type RangeLimits, type StoredPage } from './index.ts'

// Tiny: blocks of 4 bytes, so that a page is 4096 bytes and a disk has a handful of them.
const BLOCK = 4
const PAGE = 4096
const limits: RangeLimits = { maxPages: 3, maxBytes: 2 * PAGE, maxExtents: 6 }

/** Ascending extents as gap and length; small steps make neighbours share blocks, large ones jump pages. */
const step = fc.oneof(fc.integer({ min: 0, max: 6 }), fc.constantFrom(PAGE / 2, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE))
const areas = fc
  .array(
    fc.tuple(
      step,
      step.map(n => Math.max(1, n)),
    ),
    { maxLength: 12 },
  )
  .map(steps => {
    const extents: Extent[] = []
    let at = 0
    for (const [gap, length] of steps) {
      extents.push({ offset: at + gap, length })
      at += gap + length
    }
    return extents
  })
const diskSize = fc.integer({ min: 1, max: 12 * PAGE })

async function all<T>(items: AsyncIterable<T> | Iterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

/** The slow model: one mark per byte. */
function paint(extents: Iterable<Extent>, size: number): Uint8Array {
  const bytes = new Uint8Array(size)
  for (const { offset, length } of extents) bytes.fill(1, offset, offset + length)
  return bytes
}

function blockBytes(painted: Uint8Array): number {
  let bytes = 0
  for (let at = 0; at < painted.length; at += BLOCK) {
    const block = painted.subarray(at, at + BLOCK)
    if (block.includes(1)) bytes += block.length
  }
  return bytes
}

function checkOrder(ranges: readonly PlannedRange[]): void {
  for (const [i, range] of ranges.entries()) {
    expect(range.index).toBe(i)
    expect(range.pageCount).toBeGreaterThan(0)
    const before = ranges[i - 1]
    if (before !== undefined) expect(range.firstPage).toBeGreaterThanOrEqual(before.firstPage + before.pageCount)
  }
}

function checkInside(range: PlannedRange): void {
  for (const [i, { offset, length }] of range.extents.entries()) {
    expect(length).toBeGreaterThan(0)
    expect(offset).toBeGreaterThanOrEqual(range.firstPage * PAGE)
    expect(offset + length).toBeLessThanOrEqual((range.firstPage + range.pageCount) * PAGE)
    const before = range.extents[i - 1]
    if (before !== undefined) expect(offset).toBeGreaterThan(before.offset + before.length)
  }
}

test('planRanges covers exactly the bytes that were named, in order, each page in one range', async () => {
  await fc.assert(
    fc.asyncProperty(areas, diskSize, fc.integer({ min: 1, max: 4 }), async (extents, size, perAnswer) => {
      const answers: Extent[][] = []
      for (let i = 0; i < extents.length; i += perAnswer) answers.push(extents.slice(i, i + perAnswer))
      const ranges = await all(planRanges(answers, { diskSize: size, blockSize: BLOCK }, { ...limits, maxExtents: 100 }))
      checkOrder(ranges)
      for (const range of ranges) checkInside(range)
      const planned = ranges.flatMap(range => range.extents)
      expect(Buffer.compare(paint(planned, size), paint(extents, size))).toBe(0)
      // The first and last page of a range are there because an extent touches them.
      for (const { firstPage, pageCount, extents } of ranges) {
        expect(Math.floor(extents[0]!.offset / PAGE)).toBe(firstPage)
        const last = extents.at(-1)!
        expect(Math.floor((last.offset + last.length - 1) / PAGE)).toBe(firstPage + pageCount - 1)
      }
    }),
  )
})

test('planRanges counts the named bytes, and keeps within its limits, which go by whole blocks', async () => {
  await fc.assert(
    fc.asyncProperty(areas, diskSize, async (extents, size) => {
      const ranges = await all(planRanges([extents], { diskSize: size, blockSize: BLOCK }, limits))
      const cost = (range: PlannedRange) => blockBytes(paint(range.extents, size))
      for (const range of ranges) {
        expect(range.bytes).toBe(range.extents.reduce((sum, { length }) => sum + length, 0))
        const touched = touchedPages(range)
        expect(touched.size).toBeLessThanOrEqual(limits.maxPages)
        if (touched.size > 1) {
          expect(cost(range)).toBeLessThanOrEqual(limits.maxBytes)
          expect(range.extents.length).toBeLessThanOrEqual(limits.maxExtents)
        }
      }
      // Not cut more than the limits ask for: the first page of the next range would not have fitted.
      for (const [i, next] of ranges.slice(1).entries()) {
        const range = ranges[i]!
        const page = await firstPageOf(next, size)
        const fits =
          touchedPages(range).size < limits.maxPages &&
          cost(range) + cost(page) <= limits.maxBytes &&
          range.extents.length + page.extents.length <= limits.maxExtents
        expect(fits).toBe(false)
      }
    }),
  )
})

function touchedPages(range: PlannedRange): Set<number> {
  return new Set(range.extents.flatMap(({ offset, length }) => pagesOf(offset, length)))
}

function pagesOf(offset: number, length: number): number[] {
  const first = Math.floor(offset / PAGE)
  const last = Math.floor((offset + length - 1) / PAGE)
  return Array.from({ length: last - first + 1 }, (_, i) => first + i)
}

async function firstPageOf(range: PlannedRange, size: number): Promise<PlannedRange> {
  const end = Math.min(size, (range.firstPage + 1) * PAGE)
  const extents = range.extents
    .filter(extent => extent.offset < end)
    .map(({ offset, length }) => ({ offset, length: Math.min(length, end - offset) }))
  const [page] = await all(planRanges([extents], { diskSize: size, blockSize: BLOCK }))
  return page!
}

test('extents that overlap or go backwards are refused', async () => {
  const plan = (extents: Extent[]) => all(planRanges([extents], { diskSize: 10 * PAGE, blockSize: BLOCK }))
  for (const second of [
    { offset: 0, length: 1 },
    { offset: 15, length: 1 },
    { offset: 99, length: 0 },
  ]) {
    await expect(plan([{ offset: 10, length: 10 }, second])).rejects.toMatchObject({ code: 'EXTENTS_INVALID' })
  }
})

test('planWholeDisk covers every byte once', () => {
  fc.assert(
    fc.property(diskSize, size => {
      const ranges = [...planWholeDisk({ diskSize: size, blockSize: BLOCK }, limits)]
      checkOrder(ranges)
      expect(ranges.reduce((sum, range) => sum + range.bytes, 0)).toBe(size)
      expect(
        paint(
          ranges.flatMap(range => range.extents),
          size,
        ).every(mark => mark === 1),
      ).toBe(true)
    }),
  )
})

const storedPages = fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 1024 })), { maxLength: 8 }).map(steps => {
  let pageIndex = -1
  return steps.map(([gap, storedBlocks]): StoredPage => {
    pageIndex += gap
    return { pageIndex, storedBlocks }
  })
})

test('planRestore onto an empty disk takes exactly the pages that hold something', () => {
  fc.assert(
    fc.property(storedPages, pages => {
      const ranges = [...planRestore(pages, { diskSize: 64 * PAGE, blockSize: BLOCK }, 'empty', limits)]
      checkOrder(ranges)
      const covered = new Set(ranges.flatMap(range => pagesOf(range.firstPage * PAGE, range.pageCount * PAGE)))
      const full = pages.filter(page => page.storedBlocks > 0)
      for (const page of full) expect(covered.has(page.pageIndex)).toBe(true)
      const ends = ranges.flatMap(range => [range.firstPage, range.firstPage + range.pageCount - 1])
      for (const end of ends) expect(full.some(page => page.pageIndex === end)).toBe(true)
      for (const range of ranges) {
        expect(range.extents).toEqual([])
        const held = full.filter(({ pageIndex }) => pageIndex >= range.firstPage && pageIndex < range.firstPage + range.pageCount)
        expect(held.length).toBeLessThanOrEqual(limits.maxPages)
      }
      expect(ranges.reduce((sum, range) => sum + range.bytes, 0)).toBe(full.reduce((sum, page) => sum + page.storedBlocks * BLOCK, 0))
    }),
  )
})

test('planRestore onto an unknown disk covers every byte once', () => {
  fc.assert(
    fc.property(storedPages, fc.integer({ min: 1, max: PAGE }), (pages, tail) => {
      const size = ((pages.at(-1)?.pageIndex ?? 0) + 2) * PAGE + tail
      const ranges = [...planRestore(pages, { diskSize: size, blockSize: BLOCK }, 'unknown', limits)]
      checkOrder(ranges)
      for (const range of ranges) checkInside(range)
      expect(
        paint(
          ranges.flatMap(range => range.extents),
          size,
        ).every(mark => mark === 1),
      ).toBe(true)
      expect(ranges.reduce((sum, range) => sum + range.extents[0]!.length, 0)).toBe(size)
    }),
  )
})
