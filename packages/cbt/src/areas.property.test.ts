import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AreaCollector } from './areas.ts'
import { CBT_PAGE_SIZE, raiseVersions, VERSIONS_PER_PAGE } from './cbt-file.ts'
import type { Extent } from './extent.ts'
import { GRANULARITY } from './granule.ts'

const K = GRANULARITY

/** The slow model: which granules are newer, as a list of their extents joined where they touch. */
function model(changed: readonly boolean[], start: number, diskSize: number): Extent[] {
  const extents: { offset: number; length: number }[] = []
  changed.forEach((is, i) => {
    const offset = Math.max(start, i * K)
    const end = Math.min(diskSize, (i + 1) * K)
    if (!is || end <= offset) return
    const last = extents.at(-1)
    if (last !== undefined && last.offset + last.length === offset) last.length += end - offset
    else extents.push({ offset, length: end - offset })
  })
  return extents
}

test('collected areas are the changed granules, merged, cut to the window, and pages of answers add up to the whole', () => {
  fc.assert(
    fc.property(
      fc.array(fc.boolean(), { minLength: 1, maxLength: 14 }),
      fc.integer({ min: 1, max: 128 }),
      fc.nat(14 * K),
      fc.integer({ min: 1, max: 3 }),
      (changed, tailSectors, someStart, limit) => {
        const diskSize = (changed.length - 1) * K + tailSectors * 512
        const start = Math.min(someStart, diskSize - 1)
        const found: Extent[] = []
        for (let at = start; at < diskSize; ) {
          const areas = new AreaCollector(at, diskSize, limit)
          changed.forEach((is, i) => {
            if (is) areas.add(i, i + 1)
          })
          const { areas: page, length } = areas.result()
          expect(length).toBeGreaterThan(0)
          expect(page.length).toBeLessThanOrEqual(limit)
          for (const area of page) expect(area.offset + area.length).toBeLessThanOrEqual(at + length)
          found.push(...page)
          at += length
        }
        expect(found).toEqual(model(changed, start, diskSize))
      },
    ),
  )
})

test('a page gives the granules newer than asked', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(4), { minLength: 1, maxLength: 12 }), fc.nat(4), fc.boolean(), (versions, since, atEnd) => {
      const view = new DataView(new ArrayBuffer(CBT_PAGE_SIZE))
      const first = atEnd ? VERSIONS_PER_PAGE - versions.length : 0
      for (const [i, version] of versions.entries()) raiseVersions(view, first + i, first + i + 1, version)
      const areas = new AreaCollector(0, VERSIONS_PER_PAGE * K, 1000)
      areas.addPage(view, 0, since)
      const changed = new Array<boolean>(VERSIONS_PER_PAGE).fill(false)
      versions.forEach((version, i) => {
        changed[first + i] = version > since
      })
      expect(areas.result().areas).toEqual(model(changed, 0, VERSIONS_PER_PAGE * K))
    }),
    { numRuns: 50 },
  )
})
