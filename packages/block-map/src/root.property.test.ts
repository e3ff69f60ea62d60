import { hash as digest } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { diffPages } from './diff.ts'
import { BlockMapError } from './errors.ts'
import { isTombstone, type PageRef, tombstone } from './page-ref.ts'
import { decodePageRefs, encodePageRefs, PageRefs } from './page-refs.ts'
import { decodeRoot, encodeRoot, merkleRoot, type Root, replacePages } from './root.ts'

const PAGES = 8
const BLOCK = 65_536

const ref = (pageIndex: number): fc.Arbitrary<PageRef> =>
  fc.record({
    pageIndex: fc.constant(pageIndex),
    mapId: fc.nat(3).map(n => String(n + 1).repeat(32)),
    offset: fc.constantFrom(32, 4096),
    length: fc.constantFrom(97, 60_000),
    hash: fc.nat(2).map(n => Buffer.alloc(32, n)),
    storedBlocks: fc.constantFrom(1, 1024),
  })
const indexes = fc.uniqueArray(fc.nat(PAGES - 1), { maxLength: PAGES })
const pages = indexes.chain(list => fc.tuple(...list.sort((a, b) => a - b).map(ref)))
const changes = indexes.chain(list => fc.tuple(...list.map(i => fc.oneof(ref(i), fc.constant(tombstone(i))))))

function rootOf(refs: readonly PageRef[]): Root {
  return { imageId: 'image-1', diskSize: PAGES * 1024 * BLOCK, blockSize: BLOCK, pages: PageRefs.from(refs) }
}

describe('page references', () => {
  test('come back from their bytes, tombstones too', () => {
    fc.assert(
      fc.property(changes, refs => {
        expect(decodePageRefs(encodePageRefs(refs)).map(plain)).toEqual(refs.map(plain))
      }),
    )
  })

  test('that are cut or altered in any byte are refused', () => {
    fc.assert(
      fc.property(changes, fc.nat(), fc.integer({ min: 1, max: 255 }), (refs, where, mask) => {
        fc.pre(refs.length > 0)
        const bytes = encodePageRefs(refs)
        const at = where % bytes.length
        if (at % 64 !== 0) expect(() => decodePageRefs(bytes.subarray(0, at))).toThrow(BlockMapError)
        bytes[at]! ^= mask
        expect(() => decodePageRefs(bytes)).toThrow(BlockMapError)
      }),
    )
  })

  test('notice every change of a single byte', () => {
    const bytes = encodePageRefs([
      { pageIndex: 5, mapId: '5'.repeat(32), offset: 32, length: 500, hash: Buffer.alloc(32, 9), storedBlocks: 3 },
    ])
    for (let at = 0; at < 64; at++) {
      for (let mask = 1; mask < 256; mask++) {
        const altered = Buffer.from(bytes)
        altered[at]! ^= mask
        expect(() => decodePageRefs(altered)).toThrow(BlockMapError)
      }
    }
  })
})

describe('lists of page references', () => {
  test('find pages by number', () => {
    fc.assert(
      fc.property(pages, fc.nat(PAGES), fc.nat(PAGES), (refs, first, count) => {
        const list = PageRefs.from(refs)
        expect(list.length).toBe(refs.length)
        for (let i = 0; i < PAGES; i++) expect(list.find(i)?.mapId).toBe(refs.find(each => each.pageIndex === i)?.mapId)
        const expected = refs.filter(({ pageIndex }) => pageIndex >= first && pageIndex < first + count)
        expect(list.within(first, count).map(plain)).toEqual(expected.map(plain))
        expect([list.at(-1), list.at(refs.length)]).toEqual([undefined, undefined])
      }),
    )
  })

  test('tell whether two references are the same', () => {
    fc.assert(
      fc.property(ref(1), ref(1), (a, b) => {
        const same = PageRefs.from([a]).isSame(0, PageRefs.from([tombstone(0), b]), 1)
        expect(same).toBe(JSON.stringify(plain(a)) === JSON.stringify(plain(b)))
      }),
    )
  })
})

describe('roots', () => {
  test('come back from their bytes', () => {
    fc.assert(
      fc.property(pages, refs => {
        const root = rootOf(refs)
        const decoded = decodeRoot(encodeRoot(root))
        expect({ ...decoded, pages: [...decoded.pages].map(plain) }).toEqual({ ...root, pages: refs.map(plain) })
      }),
    )
  })

  test('that are cut or altered in any byte are refused', () => {
    const bytes = encodeRoot(rootOf([1, 4].map(i => ({ ...tombstone(i), storedBlocks: 1, length: 100, offset: 32 }))))
    for (let length = 0; length < bytes.length; length++) expect(() => decodeRoot(bytes.subarray(0, length))).toThrow(BlockMapError)
    for (let at = 0; at < bytes.length; at++) {
      const altered = Buffer.from(bytes)
      altered[at]! ^= 1 << (at % 8)
      expect(() => decodeRoot(altered)).toThrow(BlockMapError)
    }
  })

  test('whose sums are right but whose content cannot be are refused, whatever is altered', () => {
    const bytes = encodeRoot(rootOf([1, 4].map(i => ({ ...tombstone(i), storedBlocks: 1, length: 100, offset: 32 }))))
    fc.assert(
      fc.property(fc.nat(bytes.length - 33), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const altered = Buffer.from(bytes)
        altered[at]! ^= mask
        altered.set(digest('sha256', altered.subarray(0, -32), 'buffer'), altered.length - 32)
        try {
          const root = decodeRoot(altered)
          expect(encodeRoot(root).length).toBe(altered.length)
        } catch (error) {
          expect(error).toBeInstanceOf(BlockMapError)
        }
      }),
    )
  })

  test('of newer versions are told apart from damaged ones', () => {
    const bytes = encodeRoot(rootOf([]))
    bytes.writeUInt16LE(2, 4)
    bytes.set(digest('sha256', bytes.subarray(0, -32), 'buffer'), bytes.length - 32)
    expect(() => decodeRoot(bytes)).toThrow(expect.objectContaining({ code: 'MAP_VERSION_UNKNOWN' }))
  })

  test('have equal Merkle roots exactly when page hashes are equal', () => {
    fc.assert(
      fc.property(pages, pages, (a, b) => {
        const equal = merkleRoot(rootOf(a)).equals(merkleRoot(rootOf(b)))
        expect(equal).toBe(contentOf(a).join() === contentOf(b).join())
        expect(diffPages(rootOf(a), rootOf(b)).length === 0).toBe(equal)
      }),
    )
  })

  test('differ where diffPages says', () => {
    fc.assert(
      fc.property(pages, pages, (a, b) => {
        const [left, right] = [contentOf(a), contentOf(b)]
        const expected = left.flatMap((content, i) => (content === right[i] ? [] : [i]))
        expect(diffPages(rootOf(a), rootOf(b))).toEqual(expected)
      }),
    )
  })

  test('refuse an image id, a page past the disk, or pages out of order', () => {
    const page = { ...tombstone(1), storedBlocks: 1, length: 100, offset: 32 }
    expect(() => encodeRoot({ ...rootOf([]), imageId: '../up' })).toThrow(BlockMapError)
    expect(() => encodeRoot(rootOf([{ ...page, pageIndex: PAGES }]))).toThrow(BlockMapError)
    expect(() => encodeRoot(rootOf([page, page]))).toThrow(BlockMapError)
    expect(() => encodeRoot(rootOf([tombstone(1)]))).toThrow(BlockMapError)
    expect(() => encodeRoot({ ...rootOf([]), blockSize: 100_000 })).toThrow(BlockMapError)
  })
})

describe('replacePages', () => {
  test('takes new pages over those of the parent, and drops what became zero', () => {
    fc.assert(
      fc.property(pages, changes, (parent, fresh) => {
        const model = new Map(parent.map(page => [page.pageIndex, page]))
        for (const page of fresh) {
          if (isTombstone(page)) model.delete(page.pageIndex)
          else model.set(page.pageIndex, page)
        }
        const expected = [...model.values()].sort((a, b) => a.pageIndex - b.pageIndex)
        expect([...replacePages(PageRefs.from(parent), PageRefs.from(fresh))].map(plain)).toEqual(expected.map(plain))
      }),
    )
  })

  test('refuses a page that was written twice', () => {
    expect(() => replacePages(PageRefs.none, PageRefs.from([tombstone(3), tombstone(3)]))).toThrow(
      expect.objectContaining({ code: 'PAGES_CONFLICT' }),
    )
  })
})

/** Hash of each page, 'zero' where there is none. */
function contentOf(refs: readonly PageRef[]): string[] {
  return Array.from({ length: PAGES }, (_, i) => {
    const page = refs.find(each => each.pageIndex === i)
    return page === undefined ? 'zero' : Buffer.from(page.hash).toString('hex')
  })
}

function plain(page: PageRef): unknown {
  return { ...page, hash: Buffer.from(page.hash).toString('hex') }
}
