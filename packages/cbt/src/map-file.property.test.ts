import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CbtError } from './errors.ts'
import {
  decodeMapHeader,
  decodeWords,
  encodeMapHeader,
  encodeWords,
  MAP_FILE_PAGE,
  mapPageOffset,
  PAGES_PER_GROUP,
  summaryOffset,
} from './map-file.ts'

const header = fc.record({
  kind: fc.constantFrom('dirty-bitmap' as const, 'grain-map' as const),
  diskSize: fc.integer({ min: 1, max: 63e12 / 512 }).map(sectors => sectors * 512),
  targetInc: fc.nat(),
})

test('a header comes back as it was', () => {
  fc.assert(
    fc.property(header, value => {
      expect(decodeMapHeader(encodeMapHeader(value))).toEqual(value)
    }),
  )
})

test('a header cut or with any byte changed is an error', () => {
  fc.assert(
    fc.property(header, fc.nat(MAP_FILE_PAGE - 1), fc.integer({ min: 1, max: 255 }), (value, at, flip) => {
      const bytes = encodeMapHeader(value)
      expect(() => decodeMapHeader(bytes.subarray(0, at))).toThrow(CbtError)
      bytes[at]! ^= flip
      expect(() => decodeMapHeader(bytes)).toThrow(CbtError)
    }),
  )
})

test('words come back as they were, and any changed byte of a word that is not empty shows', () => {
  const words = fc.uint16Array({ minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(words, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, where, flip) => {
      const bytes = Buffer.alloc(value.length * 4)
      encodeWords(value, bytes)
      const back = new Uint16Array(value.length)
      decodeWords(bytes, back)
      expect(back).toEqual(value)
      expect(() => decodeWords(bytes.subarray(0, where % bytes.length), back)).toThrow(CbtError)
      bytes[where % bytes.length]! ^= flip
      expect(() => decodeWords(bytes, back)).toThrow(CbtError)
    }),
  )
})

test('summaries and pages lie side by side, none over another', () => {
  expect(summaryOffset(0)).toBe(4096)
  expect(mapPageOffset(0)).toBe(8192)
  expect(mapPageOffset(PAGES_PER_GROUP - 1) + 4096).toBe(summaryOffset(1))
  expect(mapPageOffset(PAGES_PER_GROUP)).toBe(summaryOffset(1) + 4096)
})
