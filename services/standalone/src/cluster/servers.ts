import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Closer, freePort } from '@varve/runtime'
import { startChild } from './child.ts'
import { findServer, inheritedEnvironment } from './config.ts'

export interface ServerPlace {
  readonly folder: string
  readonly closer: Closer
  readonly logs: string
}

/** A Redis on a free loopback port, for queues: nothing on disk, nothing evicted. Undefined when redis-server is not installed. */
export async function startRedis({ folder, closer, logs }: ServerPlace): Promise<{ readonly url: string } | undefined> {
  const program = findServer('redis-server')
  if (program === undefined) return undefined
  const port = await freePort()
  const settings = { port: String(port), bind: '127.0.0.1', save: '', appendonly: 'no', 'maxmemory-policy': 'noeviction', dir: folder }
  const args = Object.entries(settings).flatMap(([key, value]) => [`--${key}`, value])
  startChild({ name: 'redis', program, args, env: inheritedEnvironment(), logFile: join(logs, 'redis.log'), closer })
  return { url: `redis://127.0.0.1:${port}/0` }
}

/** A MinIO on a free loopback port, and the settings that reach it. Undefined when it is not installed. */
export async function startMinio({ folder, closer, logs }: ServerPlace): Promise<Readonly<Record<string, string>> | undefined> {
  const program = findServer('minio')
  if (program === undefined) return undefined
  const port = await freePort()
  const secretKey = randomBytes(20).toString('hex')
  const data = join(folder, 'minio')
  await mkdir(data, { recursive: true })
  startChild({
    name: 'minio',
    program,
    args: ['server', '--quiet', '--address', `127.0.0.1:${port}`, data],
    env: {
      ...inheritedEnvironment(),
      HOME: folder,
      MINIO_ROOT_USER: 'varve',
      MINIO_ROOT_PASSWORD: secretKey,
      MINIO_BROWSER: 'off',
      MINIO_UPDATE: 'off',
    },
    logFile: join(logs, 'minio.log'),
    closer,
  })
  return {
    VARVE_REPOSITORY_URL: 's3://varve/repository',
    VARVE_S3_ENDPOINT: `http://127.0.0.1:${port}`,
    VARVE_S3_ACCESS_KEY: 'varve',
    VARVE_S3_SECRET_KEY: secretKey,
    VARVE_S3_CREATE_BUCKET: 'true',
  }
}
