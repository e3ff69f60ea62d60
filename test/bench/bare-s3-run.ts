import { type Measured, measureCommand, nodeScript } from './measure.ts'
import type { Parts } from './parts.ts'

/** `bare-s3.ts` as a process, with its own idea of how long it took. */
export async function bareS3Run({ s3Env, minio }: Parts, what: 'put' | 'get', url: string, bytes: number): Promise<Measured> {
  const { measured, output } = await measureCommand(nodeScript('bare-s3', what, url, String(bytes)), { env: s3Env, servers: [minio.pid] })
  return { ...measured, wall: Number(output) }
}
