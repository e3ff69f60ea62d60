import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll } from 'vitest'
import { openStore } from '../open-store.ts'
import { startMinio, testStore } from '../testing/index.ts'

const cleanUp: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const close of cleanUp.reverse()) await close()
})

testStore('MemoryStore', () => openStore('memory:'))

testStore('DirectoryStore', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'varve-store-'))
  cleanUp.push(() => rm(folder, { recursive: true, force: true }))
  return openStore(pathToFileURL(folder).href)
})

testStore('S3Store on MinIO', async () => {
  const minio = await startMinio()
  if (typeof minio === 'string') return minio
  cleanUp.push(() => minio.close())
  return openStore('s3://varve-test/some/prefix', minio.settings)
})
