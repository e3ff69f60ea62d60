import { openStore } from '@varve/repository'
import { type Measured, measureCommand, nodeScript } from './measure.ts'
import type { Parts } from './parts.ts'

/** `bare-s3.ts` as a process, with its own idea of how long it took. What an earlier one put is gone, so that objects are new ones. */
export async function bareS3Run({ s3Env, minio }: Parts, what: 'put' | 'get', url: string, bytes: number): Promise<Measured> {
  if (what === 'put') await removeAll(url, minio)
  const { measured, output } = await measureCommand(nodeScript('bare-s3', what, url, String(bytes)), { env: s3Env, servers: [minio.pid] })
  const wall = Number(output)
  if (!(wall > 0)) throw new Error(`bare-s3 printed no time: ${output.slice(0, 200)}`)
  return { ...measured, wall }
}

async function removeAll(url: string, { endpoint, accessKey, secretKey }: Parts['minio']): Promise<void> {
  const store = await openStore(url, { endpoint, accessKey, secretKey, createBucket: true })
  const keys: string[] = []
  for await (const { key } of store.list('')) keys.push(key)
  await store.delete(keys)
  await store.close()
}
