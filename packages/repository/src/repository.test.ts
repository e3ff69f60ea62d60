import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Page, type Root } from '@varve/block-map'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { formatHash } from './block-hash.ts'
import { openStore } from './open-store.ts'
import type { BlockResult } from './read-blocks.ts'
import { openRepository, type Repository } from './repository.ts'
import type { Store } from './store.ts'
import { blockOf } from './testing/blocks.ts'

const BLOCK = 64 * 1024

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-repository-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

describe.each([
  ['memory', async (): Promise<Store> => openStore('memory:')],
  ['directory', async (): Promise<Store> => openStore(pathToFileURL(folder).href)],
])('a repository in a %s store', (_name, make) => {
  test('gives back what was written, through packs, map, root and manifest', async () => {
    const repository = await openRepository(await make(), { create: true, blockSize: BLOCK })
    const blocks = Array.from({ length: 40 }, (_, i) => blockOf(BLOCK, i, i % 3 === 0 ? 'random' : 'text'))
    const { page, objects } = await writeBlocks(repository, 3, blocks, { targetSize: 256 * 1024 })
    expect(objects.length).toBeGreaterThan(2)

    const { object, refs } = await repository.putMap([page, Page.empty(4, 10)])
    expect(object).toMatchObject({ kind: 'map' })
    const root: Root = { imageId: 'image-1', diskSize: 5 * 1024 * BLOCK, blockSize: BLOCK, pages: refs.slice(0, 1) }
    const again = await openRepository(repository.store)
    expect(again.format).toEqual(repository.format)
    expect(await again.getRoot(await repository.putRoot(root))).toEqual(root)

    const [read] = await again.getPages(root.pages)
    expect(read!.hash()).toEqual(page.hash())
    const found = await collect(
      again,
      read!,
      blocks.map((_, i) => i),
    )
    for (const [i, bytes] of blocks.entries()) expect(Buffer.compare(found.get(i)!.bytes!, bytes)).toBe(0)
  })
})

async function writeBlocks(
  repository: Repository,
  pageIndex: number,
  blocks: readonly Uint8Array[],
  options: { targetSize?: number },
): Promise<{ page: Page; objects: readonly { key: string; size: number }[] }> {
  const page = Page.empty(pageIndex, 1024)
  const writer = repository.packWriter(options)
  for (const [i, bytes] of blocks.entries()) {
    const hash = formatHash(bytes)
    page.setStored(i, hash, await writer.add(hash, bytes))
  }
  return { page, objects: (await writer.finish()).objects }
}

async function collect(repository: Repository, page: Page, entries: readonly number[]): Promise<Map<number, BlockResult>> {
  const found = new Map<number, BlockResult>()
  const requests = entries.map(entry => ({ index: entry, page, entry }))
  for await (const result of repository.readBlocks(requests)) found.set(result.index, result)
  return found
}
