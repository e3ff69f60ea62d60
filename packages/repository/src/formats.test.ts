import { hash } from 'node:crypto'
import { Page } from '@varve/block-map'
import { expect, test } from 'vitest'
import { encodeManifest } from './manifest.ts'
import { encodeMap } from './map-object.ts'
import { finishPack, PACK_FOOTER_ENTRY, PACK_HEADER_LENGTH, writeFooterEntry, writePackHeader } from './pack-format.ts'
import { encodeFormat } from './repository-format.ts'

const ID = '00112233445566778899aabbccddeeff'

/** What is stored must stay readable: if one of these changes, the format has changed and needs a new version. */
test('the bytes of version 1 are what they were', () => {
  const pack = Buffer.alloc(1000)
  const footer = Buffer.alloc(PACK_FOOTER_ENTRY)
  writePackHeader(pack, ID)
  pack.write('frame', PACK_HEADER_LENGTH)
  writeFooterEntry(footer, 0, { hash: Buffer.alloc(32, 3), offset: PACK_HEADER_LENGTH, storedLength: 5, rawLength: 9, codec: 1 })
  const page = Page.empty(1, 3)
  page.setStored(2, Buffer.alloc(32, 3), { packId: ID, offset: PACK_HEADER_LENGTH, storedLength: 5, codec: 1 })
  const image = {
    imageId: 'i',
    diskId: 'd',
    diskSize: 512,
    blockSize: 262_144,
    kind: 'full',
    reason: 'first',
    rootKey: 'images/i.root',
  } as const
  const manifest = {
    restorePointId: 'p',
    vm: { id: 'v', platformId: 'pf', platformVmId: '1', name: 'ünïcode' },
    createdAt: '2026-01-01T00:00:00.000Z',
    checkpointId: '18446744073709551615',
    parentId: null,
    config: { b: 1, a: [true, null, 1.5] },
    images: [{ ...image, merkleRoot: '0'.repeat(64), cbt: true, read: 1, stored: 2 }],
  }
  const createdAt = '2026-01-01T00:00:00.000Z'
  const format = { version: 1, repositoryId: 'r', createdAt, blockSize: 262_144, hash: 'sha256', compression: 'zstd' } as const
  expect({
    pack: sum(pack.subarray(0, finishPack(pack, PACK_HEADER_LENGTH + 5, footer))),
    map: sum(encodeMap(ID, [page]).bytes!),
    manifest: sum(encodeManifest(manifest)),
    varveJson: sum(encodeFormat(format)),
  }).toMatchInlineSnapshot(`
    {
      "manifest": "796 B be22bb6fdfd4b53da424e9d327a0e53f",
      "map": "129 B f5737bd7f3bdf85e3c0575d7cbbe7323",
      "pack": "117 B e09d61de4a07fc85b352c8e86a4dc3a6",
      "varveJson": "265 B 76e045ccc054b13f730d2cdf728cafca",
    }
  `)
})

function sum(bytes: Uint8Array): string {
  return `${bytes.length} B ${hash('sha256', bytes, 'hex').slice(0, 32)}`
}
