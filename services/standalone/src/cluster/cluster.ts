import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Closer } from '@varve/runtime'
import { type PlatformInfo, startPlatform } from '../demo/platform-process.ts'
import { startMinio, startRedis } from './servers.ts'
import { type Services, startServices } from './services.ts'

export interface ClusterOptions {
  /** Database, store, logs and the platform's disks live here. */
  readonly folder: string
  readonly readers: number
  readonly writers: number
  /** Port of the api on 127.0.0.1; 0 takes a free one. */
  readonly port: number
  /** File of the `varve` command, to start the reference platform with; absent: no platform. */
  readonly platformEntry?: string
  readonly environment?: Readonly<Record<string, string>>
}

export interface Cluster extends Services {
  readonly folder: string
  readonly logs: string
  readonly platform: PlatformInfo | undefined
  /** What is not as in a real installation, and why. */
  readonly notes: readonly string[]
  close(): Promise<void>
}

/**
 * Varve on many processes of one machine: PostgreSQL, Redis and MinIO of its own on loopback, and every service as a process. What is not
 * installed is replaced (queues in PostgreSQL, a directory as repository) and noted.
 */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const closer = new Closer()
  try {
    return await open(options, closer)
  } catch (error) {
    await closer.close().catch(() => {})
    throw error
  }
}

async function open(options: ClusterOptions, closer: Closer): Promise<Cluster> {
  const folder = resolve(options.folder)
  const logs = join(folder, 'logs')
  await mkdir(logs, { recursive: true })
  const notes: string[] = []
  const place = { folder, closer, logs }
  const redis = await startRedis(place)
  if (redis === undefined) notes.push('redis-server is not installed: the queues are in PostgreSQL')
  const store = await startMinio(place)
  if (store === undefined) notes.push('minio is not installed (or name it with VARVE_MINIO): the repository is a directory')
  let platform: Cluster['platform']
  if (options.platformEntry !== undefined) {
    const started = await startPlatform(options.platformEntry, join(folder, 'platform'))
    closer.add('platform', () => started.stop())
    platform = started
  }
  const services = await startServices({
    folder,
    closer,
    logs,
    readers: options.readers,
    writers: options.writers,
    apiPort: options.port,
    environment: { ...store, ...options.environment },
    ...(redis === undefined ? {} : { queueUrl: redis.url }),
  })
  return { ...services, folder, logs, platform, notes, close: () => closer.close() }
}
