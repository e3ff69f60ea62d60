import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  CBT_HEADER_SIZE,
  CBT_PAGE_SIZE,
  type CbtHeader,
  cbtFileSize,
  cbtPageCount,
  cbtPageOffset,
  cbtTableSize,
  decodeCbtHeader,
  encodeCbtHeader,
  entryOf,
  pageMatches,
  raiseVersions,
  readPageEntry,
  readVersion,
  VERSIONS_PER_PAGE,
  writePageEntry,
} from './cbt-file.ts'
import { MAX_U32 } from './checkpoint.ts'
import { CbtError } from './errors.ts'

const header: fc.Arbitrary<CbtHeader> = fc
  .record({
    versionId: fc.integer({ min: 0, max: MAX_U32 }),
    incId: fc.integer({ min: 0, max: MAX_U32 - 1 }),
    base: fc.double({ min: 0, max: 1, noNaN: true }),
    isFolding: fc.boolean(),
    expired: fc.boolean(),
    diskSize: fc.integer({ min: 1, max: 63e12 / 512 }).map(sectors => sectors * 512),
    trackingId: fc.uint8Array({ minLength: 16, maxLength: 16 }).map(bytes => Buffer.from(bytes).toString('hex')),
    dataCrc: fc.integer({ min: 0, max: MAX_U32 }),
  })
  .map(({ base, isFolding, ...rest }) => ({
    ...rest,
    baseInc: 1 + Math.floor(base * rest.incId),
    folding: isFolding ? rest.incId + 1 : 0,
  }))

test('a header comes back as it was', () => {
  fc.assert(
    fc.property(header, value => {
      expect(decodeCbtHeader(encodeCbtHeader(value))).toEqual(value)
    }),
  )
})

test('a header cut or with any byte changed is an error', () => {
  fc.assert(
    fc.property(header, fc.nat(CBT_HEADER_SIZE - 1), fc.integer({ min: 1, max: 255 }), (value, at, flip) => {
      const bytes = encodeCbtHeader(value)
      expect(() => decodeCbtHeader(bytes.subarray(0, at))).toThrow(CbtError)
      bytes[at]! ^= flip
      expect(() => decodeCbtHeader(bytes)).toThrow(CbtError)
    }),
  )
})

test('random bytes are an error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5000 }), bytes => {
      expect(() => decodeCbtHeader(bytes)).toThrow(CbtError)
    }),
  )
})

test('table and pages of a disk lie side by side', () => {
  for (const diskSize of [512, 65536, 256 * 2 ** 20, 256 * 2 ** 20 + 512, 2 ** 40, 63e12]) {
    expect(cbtPageOffset(diskSize, 0)).toBeGreaterThanOrEqual(CBT_HEADER_SIZE + cbtTableSize(diskSize))
    expect(cbtPageOffset(diskSize, 0) % 4096).toBe(0)
    expect(cbtPageOffset(diskSize, 1) - cbtPageOffset(diskSize, 0)).toBe(CBT_PAGE_SIZE)
    expect(cbtFileSize(diskSize)).toBe(cbtPageOffset(diskSize, cbtPageCount(diskSize)))
  }
  expect(cbtTableSize(63e12)).toBeLessThan(2 ** 21)
})

test('raising versions: as an array would, twice is once, and the entry follows', () => {
  const raise = fc.tuple(fc.nat(40), fc.nat(40), fc.nat(9))
  fc.assert(
    fc.property(fc.array(raise, { maxLength: 10 }), raises => {
      const page = Buffer.alloc(CBT_PAGE_SIZE)
      const view = new DataView(page.buffer, page.byteOffset, page.byteLength)
      const model = new Array<number>(VERSIONS_PER_PAGE).fill(0)
      for (const [from, count, version] of raises) {
        for (let twice = 0; twice < 2; twice++) raiseVersions(view, from, from + count, version)
        for (let i = from; i < from + count; i++) model[i] = Math.max(model[i]!, version)
      }
      for (let i = 0; i < 80; i++) expect(readVersion(view, i)).toBe(model[i])
      const table = Buffer.alloc(24)
      writePageEntry(table, 8, entryOf(page))
      const entry = readPageEntry(table, 8)
      expect(entry.maxVersion).toBe(Math.max(...model))
      expect(pageMatches(page, entry)).toBe(true)
      page[79]! ^= 0x10
      expect(pageMatches(page, entry)).toBe(false)
    }),
    { numRuns: 50 },
  )
})
