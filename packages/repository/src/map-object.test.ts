import { Page } from '@varve/block-map'
import { expect, test } from 'vitest'
import { RepositoryError } from './errors.ts'
import { decodeMap, encodeMap, mapBound } from './map-object.ts'

const MAP_ID = 'ab'.repeat(16)

function pageOf(pageIndex: number): Page {
  const page = Page.empty(pageIndex, 12)
  page.setStored(pageIndex, Buffer.alloc(32, pageIndex), { packId: 'cd'.repeat(16), offset: 32, storedLength: 9, codec: 1 })
  return page
}

test('a map tells its pages without references', () => {
  const pages = [pageOf(1), Page.empty(2, 12), pageOf(3)]
  const { bytes, refs } = encodeMap(MAP_ID, pages)
  expect(refs.map(({ pageIndex, storedBlocks }) => [pageIndex, storedBlocks])).toEqual([
    [1, 1],
    [2, 0],
    [3, 1],
  ])
  const decoded = decodeMap(bytes!)
  expect(decoded.mapId).toBe(MAP_ID)
  expect(decoded.pages.map(page => page.encode())).toEqual([pages[0]!.encode(), pages[2]!.encode()])
})

test('a map is the same whatever the buffer held before, and a page may hold a pack for each block', () => {
  const page = Page.empty(0, 1024)
  for (let i = 0; i < 1024; i++) {
    const packId = i.toString(16).padStart(32, '0')
    page.setStored(i, Buffer.alloc(32, i), { packId, offset: 32, storedLength: 9, codec: 1 })
  }
  const pages = [page, pageOf(1)]
  const { bytes } = encodeMap(MAP_ID, pages, Buffer.alloc(mapBound(pages), 0xa5))
  expect(bytes).toEqual(encodeMap(MAP_ID, pages, Buffer.alloc(mapBound(pages))).bytes)
  expect(decodeMap(bytes!).pages.length).toBe(2)
})

test('a map that is cut or altered in any byte is refused', () => {
  const { bytes } = encodeMap(MAP_ID, [pageOf(1), pageOf(3)])
  for (let length = 0; length < bytes!.length; length++) expect(() => decodeMap(bytes!.subarray(0, length))).toThrow(RepositoryError)
  for (let at = 0; at < bytes!.length; at++) {
    for (const mask of [1, 0x80, 0xff]) {
      const altered = Buffer.from(bytes!)
      altered[at]! ^= mask
      expect(() => decodeMap(altered)).toThrow(RepositoryError)
    }
  }
  expect(() => decodeMap(Buffer.concat([bytes!, Buffer.alloc(1)]))).toThrow(RepositoryError)
})
