import { Page, type PageRef, PageRefs, type Root } from '@varve/block-map'
import { MemoryStore, mapKey, objectIds, openRepository } from '@varve/repository'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { eachPack, newRefs, pagesOf } from './page-walk.ts'

const ID = (n: number): string => n.toString(16).padStart(32, '0')
const signal = new AbortController().signal

function page(index: number, pack: string, ends: readonly number[]): Page {
  const made = Page.empty(index, 1024)
  for (const [i, end] of ends.entries()) {
    made.setStored(i, Buffer.alloc(32, i), { packId: pack, offset: end - 10, storedLength: 10, codec: 0 })
  }
  return made
}

test('new references are those that the root before does not have just so', () => {
  const ref = fc.record({ pageIndex: fc.nat(6), mapId: fc.constantFrom(ID(1), ID(2)), offset: fc.constantFrom(32, 64) })
  const root = fc.uniqueArray(ref, { selector: r => r.pageIndex }).map((refs): Root => {
    const pages = refs
      .toSorted((a, b) => a.pageIndex - b.pageIndex)
      .map(r => ({ ...r, length: 8, hash: Buffer.alloc(32), storedBlocks: 1 }))
    return { imageId: 'i', diskSize: 1, blockSize: 65_536, pages: PageRefs.from(pages) }
  })
  const name = (r: PageRef): string => `${r.pageIndex} ${r.mapId} ${r.offset}`
  fc.assert(
    fc.property(root, root, (now, before) => {
      const known = new Set([...before.pages].map(name))
      expect([...newRefs(now, before)].map(name)).toEqual([...now.pages].map(name).filter(text => !known.has(text)))
      expect([...newRefs(now, undefined)]).toEqual([...now.pages])
    }),
  )
})

test('where the last block of a page ends in each pack', () => {
  const made = page(0, ID(1), [50, 200, 100])
  made.setStored(5, Buffer.alloc(32), { packId: ID(2), offset: 5, storedLength: 1, codec: 0 })
  expect([...eachPack(made)]).toEqual([
    [ID(1), 200],
    [ID(2), 6],
  ])
})

test('a page that is damaged, and one whose map is gone, are told; all others come', async () => {
  const store = new MemoryStore()
  const repository = await openRepository(store, { create: true })
  const refs: PageRef[] = []
  for (let map = 0; map < 4; map++) {
    const pages = Array.from({ length: 20 }, (_, i) => page(map * 20 + i, ID(i), [10 + i]))
    refs.push(...(await repository.putMap(objectIds(`${map}`.padStart(24, '0')), pages)).refs)
  }
  const [gone, hurt] = [refs[25]!, refs[47]!]
  store.objects.delete(mapKey(gone.mapId))
  store.objects.get(mapKey(hurt.mapId))![hurt.offset + 40]! ^= 1
  const fresh = await openRepository(store)
  const told = new Map<number, string>()
  for await (const answer of pagesOf(refs, fresh, signal)) {
    told.set(answer.ref.pageIndex, 'error' in answer ? answer.error.code : String(answer.page.pageIndex))
  }
  for (const { pageIndex, mapId } of refs) {
    expect(told.get(pageIndex)).toBe(mapId === gone.mapId ? 'MAP_MISSING' : pageIndex === 47 ? 'MAP_DAMAGED' : String(pageIndex))
  }
})
