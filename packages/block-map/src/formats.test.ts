import { hash } from 'node:crypto'
import { expect, test } from 'vitest'
import { Page } from './page.ts'
import { tombstone } from './page-ref.ts'
import { encodePageRefs, PageRefs } from './page-refs.ts'
import { encodeRoot, merkleRoot } from './root.ts'

/** What is stored must stay readable: if one of these changes, the format has changed and needs a new version. */
test('the bytes of version 1 are what they were', () => {
  const page = Page.empty(7, 20)
  page.setStored(0, Buffer.alloc(32, 1), { packId: '00112233445566778899aabbccddeeff', offset: 32, storedLength: 4096, codec: 1 })
  page.setStored(19, Buffer.alloc(32, 2), { packId: 'ffeeddccbbaa99887766554433221100', offset: 2 ** 32 - 1, storedLength: 1, codec: 2 })
  const ref = { pageIndex: 7, mapId: '0123456789abcdef0123456789abcdef', offset: 32, length: 200, hash: page.hash(), storedBlocks: 2 }
  const root = { imageId: '6f1c1bd2-0000-4000-8000-000000000001', diskSize: 2 ** 40, blockSize: 262_144, pages: PageRefs.from([ref]) }
  expect({
    page: sum(page.encode()),
    pageHash: sum(page.hash()),
    ref: sum(encodePageRefs([ref, tombstone(8)])),
    root: sum(encodeRoot(root)),
    merkleRoot: sum(merkleRoot(root)),
  }).toMatchInlineSnapshot(`
    {
      "merkleRoot": "32 B 890e6a4fd326c9fb658f73077b6c2bba",
      "page": "159 B 2cb2489f60e2d9be0a966ad702f5b156",
      "pageHash": "32 B e2ab0bb0a5228d614cd243c6e48ab4f1",
      "ref": "128 B 10966f331a4095faa8fb5b2c1581e93e",
      "root": "224 B b881277a888c26f417efeceaf4d2c52f",
    }
  `)
})

function sum(bytes: Uint8Array): string {
  return `${bytes.length} B ${hash('sha256', bytes, 'hex').slice(0, 32)}`
}
