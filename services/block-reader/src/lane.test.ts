import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { decodePageRefs } from '@varve/block-map'
import type { RangeResult } from '@varve/catalog-client'
import { NbdError, type NbdServer, startNbdServer } from '@varve/nbd'
import { MemoryBackend } from '@varve/nbd/testing'
import { LanePool } from '@varve/range-worker'
import { openRepository, openStore, type Repository } from '@varve/repository'
import { KiB, MiB, workerFile } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ReadTask } from './read-range.ts'

/** Lanes are real threads here, with the built code, over real sockets and a directory. */

const SIZE = 2 * MiB
const content = randomBytes(SIZE)
let folder: string
let repository: Repository
let server: NbdServer
let pool: LanePool<ReadTask, RangeResult>

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-lanes-'))
  const repositoryUrl = pathToFileURL(folder).href
  repository = await openRepository(await openStore(repositoryUrl), { create: true, blockSize: 64 * KiB })
  server = await startNbdServer({
    listen: { host: '127.0.0.1', port: 0 },
    exports: {
      async open(name) {
        if (name === 'disk') return new MemoryBackend(content)
        throw new NbdError('NBD_EXPORT_UNKNOWN', 'no such export')
      },
    },
  })
  pool = new LanePool(workerFile(import.meta.url, './lane.js'), { repositoryUrl, storeSettings: {} })
})

afterAll(async () => {
  await pool.close()
  await server.close()
  await rm(folder, { recursive: true })
})

function task(exportName: string): ReadTask {
  const disk = { ...(server.address as { host: string; port: number }), exportName }
  return { diskSize: SIZE, blockSize: 64 * KiB, extents: [{ offset: 0, length: SIZE }], parentRootKey: null, disk }
}

const call = { signal: new AbortController().signal, onProgress: () => {} }

test('a lane copies into the repository, and keeps its connection for the next range', async () => {
  const [first] = [await pool.run(task('disk'), call), await pool.run(task('disk'), call)]
  expect(server.connections).toBe(1)
  const [page] = await repository.getPages(decodePageRefs(Buffer.from(first.pages, 'base64')))
  const requests = Array.from({ length: 32 }, (_, entry) => ({ index: entry, page: page!, entry }))
  const disk = Buffer.alloc(SIZE)
  for await (const { index, bytes } of repository.readBlocks(requests)) disk.set(bytes!, index * 64 * KiB)
  expect(disk.equals(content)).toBe(true)
})

test('an error keeps its code; the lane goes on', async () => {
  await expect(pool.run(task('nothing'), call)).rejects.toMatchObject({ code: 'NBD_EXPORT_UNKNOWN', retryable: false })
  await expect(pool.run(task('disk'), call)).resolves.toMatchObject({ read: SIZE })
})
