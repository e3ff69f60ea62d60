import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BlockMapError } from './errors.ts'
import type { BlockEntry } from './location.ts'
import { Page } from './page.ts'

/** Few blocks, packs and hashes, so that they meet. */
const BLOCKS = 11
const packId = fc.nat(2).map(n => String(n).repeat(32))
const hashByte = fc.nat(3)
const entry = fc.record({
  hash: hashByte.map(n => new Uint8Array(32).fill(n)),
  packId,
  offset: fc.constantFrom(0, 32, 0xffff_ffff),
  storedLength: fc.constantFrom(1, 262_144, 0xffff_ffff),
  codec: fc.constantFrom(0 as const, 1 as const, 2 as const),
})
const write = fc.tuple(fc.nat(BLOCKS - 1), fc.option(entry, { nil: undefined }))
const writes = fc.array(write, { maxLength: 30 })

type Model = (BlockEntry | undefined)[]

function pageOf(changes: readonly (readonly [number, BlockEntry | undefined])[]): { page: Page; model: Model } {
  const page = Page.empty(7, BLOCKS)
  const model: Model = new Array(BLOCKS).fill(undefined)
  for (const [i, value] of changes) {
    model[i] = value
    if (value === undefined) page.setZero(i)
    else page.setStored(i, value.hash, value)
  }
  return { page, model }
}

function contentOf(page: Page): Model {
  return Array.from({ length: page.blockCount }, (_, i) => {
    const value = page.entry(i)
    return value === undefined ? undefined : { ...value, hash: Uint8Array.from(value.hash) }
  })
}

test('a page holds what was written last, also after a round trip and in a clone', () => {
  fc.assert(
    fc.property(writes, changes => {
      const { page, model } = pageOf(changes)
      const decoded = Page.decode(page.encode())
      for (const each of [page, decoded, page.clone()]) {
        expect(contentOf(each)).toEqual(model)
        expect(each.storedBlocks).toBe(model.filter(value => value !== undefined).length)
        expect(each.pageIndex).toBe(7)
        expect(each.encode()).toEqual(decoded.encode())
      }
      const dirty = Buffer.alloc(page.encodedBound + 10, 0xa5)
      const length = page.encodeInto(dirty)
      expect(dirty.subarray(0, length)).toEqual(page.encode())
      expect(dirty.subarray(page.encodedBound).every(byte => byte === 0xa5)).toBe(true)
    }),
  )
})

test('a clone and its origin do not share', () => {
  fc.assert(
    fc.property(writes, write, (changes, [i, value]) => {
      const { page, model } = pageOf(changes)
      const clone = page.clone()
      if (value === undefined) clone.setZero(i)
      else clone.setStored(i, value.hash, value)
      expect(contentOf(page)).toEqual(model)
    }),
  )
})

test('copyEntry takes over entry or zero', () => {
  fc.assert(
    fc.property(writes, writes, fc.nat(BLOCKS - 1), (a, b, i) => {
      const { page, model } = pageOf(a)
      const from = pageOf(b)
      page.copyEntry(from.page, i)
      model[i] = from.model[i]
      expect(contentOf(page)).toEqual(model)
    }),
  )
})

test('two pages have the same hash exactly when their blocks have the same content, wherever they are stored', () => {
  fc.assert(
    fc.property(writes, writes, (a, b) => {
      const [left, right] = [pageOf(a), pageOf(b)]
      const text = (model: Model): string => model.map(value => (value === undefined ? 'zero' : value.hash[0])).join()
      expect(left.page.hash().equals(right.page.hash())).toBe(text(left.model) === text(right.model))
    }),
  )
})

test('hashEquals is true only for that hash of a stored block', () => {
  fc.assert(
    fc.property(writes, fc.nat(BLOCKS - 1), hashByte, (changes, i, n) => {
      const { page, model } = pageOf(changes)
      expect(page.hashEquals(i, new Uint8Array(32).fill(n))).toBe(model[i] !== undefined && model[i].hash[0] === n)
    }),
  )
})

test('a page that is cut or has any byte altered is refused', () => {
  const { page } = pageOf([
    [0, { hash: new Uint8Array(32).fill(1), packId: 'a'.repeat(32), offset: 32, storedLength: 9, codec: 1 }],
    [9, { hash: new Uint8Array(32).fill(2), packId: 'b'.repeat(32), offset: 99, storedLength: 9, codec: 0 }],
  ])
  const bytes = page.encode()
  for (let length = 0; length < bytes.length; length++) expect(() => Page.decode(bytes.subarray(0, length))).toThrow(BlockMapError)
  expect(() => Page.decode(Buffer.concat([bytes, Buffer.alloc(1)]))).toThrow(BlockMapError)
  for (let at = 0; at < bytes.length; at++) {
    for (const mask of [1, 0x80, 0xff]) {
      const altered = Buffer.from(bytes)
      altered[at]! ^= mask
      expect(() => Page.decode(altered)).toThrow(BlockMapError)
    }
  }
})

test('any bytes at all are a page or a BlockMapError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
      expect(() => Page.decode(bytes)).toThrow(BlockMapError)
    }),
  )
})
