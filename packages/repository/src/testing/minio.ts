import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { access, mkdtemp, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '@varve/runtime'
import { request } from 'undici'
import type { StoreSettings } from '../open-store.ts'

/** A MinIO server of one test, with its data in a temporary folder. */
export interface RunningMinio {
  /** Hand these to `openStore('s3://any-bucket/prefix', minio.settings)`; the bucket is made. */
  readonly settings: StoreSettings & { readonly endpoint: string; readonly accessKey: string; readonly secretKey: string }
  close(): Promise<void>
}

const START_LIMIT_MS = 20_000

/**
 * Start MinIO from the binary named by VARVE_TEST_MINIO, or `~/.cache/varve/bin/minio`.
 *
 * @returns a text saying why not, when there is none: skip the test with it.
 */
export async function startMinio(): Promise<RunningMinio | string> {
  const binary = process.env.VARVE_TEST_MINIO || join(homedir(), '.cache/varve/bin/minio')
  try {
    await access(binary)
  } catch {
    return `no MinIO binary at ${binary}; set VARVE_TEST_MINIO`
  }
  const folder = await mkdtemp(join(tmpdir(), 'varve-minio-'))
  const port = await freePort()
  const accessKey = 'varve-test'
  const secretKey = randomBytes(12).toString('hex')
  const child = spawn(binary, ['server', '--quiet', '--address', `127.0.0.1:${port}`, join(folder, 'data')], {
    env: {
      PATH: process.env.PATH,
      HOME: folder,
      MINIO_ROOT_USER: accessKey,
      MINIO_ROOT_PASSWORD: secretKey,
      MINIO_BROWSER: 'off',
      MINIO_UPDATE: 'off',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-4000)))
  const ended = new Promise<void>(resolve => child.once('close', () => resolve()))
  const close = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
    await rm(folder, { recursive: true, force: true })
  }
  const endpoint = `http://127.0.0.1:${port}`
  for (const started = Date.now(); !(await isReady(endpoint)); await sleep(50)) {
    if (child.exitCode === null && Date.now() - started < START_LIMIT_MS) continue
    await close()
    throw new Error(`MinIO did not start: ${output}`)
  }
  return { settings: { endpoint, accessKey, secretKey, region: 'us-east-1', createBucket: true }, close }
}

/** Its health check is content before users are known: what counts is that a request without a signature is refused as such. */
async function isReady(endpoint: string): Promise<boolean> {
  try {
    const { statusCode, body } = await request(`${endpoint}/`, { signal: AbortSignal.timeout(2000) })
    await body.dump()
    return statusCode === 403
  } catch {
    return false
  }
}
