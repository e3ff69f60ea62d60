import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres } from '@varve/postgres'
import { startMinio } from '@varve/repository/testing'
import { Closer } from '@varve/runtime'
import { test } from 'vitest'
import { filesystemStory } from '../support/filesystem-story.ts'
import { startRedis } from '../support/redis.ts'
import { missingTool } from '../support/tools.ts'

test('the same story with Redis, a PostgreSQL of its own and MinIO', async ctx => {
  const missing = missingTool('mke2fs', 'e2fsck', 'nbdcopy', 'fio', 'cmp', 'redis-server')
  if (missing !== undefined) return ctx.skip(missing)
  const minio = await startMinio()
  if (typeof minio === 'string') return ctx.skip(minio)
  const closer = new Closer()
  closer.add('minio', () => minio.close())
  try {
    const folder = await mkdtemp(join(tmpdir(), 'varve-external-'))
    closer.add('folder', () => rm(folder, { recursive: true, force: true }))
    const redis = await startRedis()
    closer.add('redis', () => redis.close())
    const postgres = await startPostgres({ dataDir: join(folder, 'postgres') })
    closer.add('postgres', () => postgres.close())
    await filesystemStory({
      standalone: {
        databaseUrl: postgres.url,
        queueUrl: redis.url,
        repositoryUrl: 's3://varve/e2e',
        storeSettings: { ...minio.settings, createBucket: true },
      },
    })
  } finally {
    await closer.close()
  }
}, 240_000)
