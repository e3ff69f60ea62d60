import { spawn } from 'node:child_process'
import { access } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Closer, freePort } from '@varve/runtime'
import { Skip } from './skip.ts'

/** A MinIO with its data in a folder, its process id, and its own count of requests. */
export interface BenchMinio {
  readonly endpoint: string
  readonly accessKey: string
  readonly secretKey: string
  readonly pid: number
  /** Where its buckets are, as folders. */
  readonly folder: string
  /** Requests so far by kind: `putobject`, `getobject`, … */
  requests(): Promise<Record<string, number>>
}

/** @throws Skip when there is no binary */
export async function startBenchMinio(folder: string, closer: Closer): Promise<BenchMinio> {
  const binary = process.env.VARVE_TEST_MINIO || join(homedir(), '.cache/varve/bin/minio')
  if (
    await access(binary).then(
      () => false,
      () => true,
    )
  )
    throw new Skip(`no MinIO binary at ${binary} (infra/scripts/install-test-tools.sh)`)
  const port = await freePort()
  const [accessKey, secretKey] = ['varve-bench', 'varve-bench-secret']
  const child = spawn(binary, ['server', '--quiet', '--address', `127.0.0.1:${port}`, join(folder, 'minio')], {
    env: {
      PATH: process.env.PATH,
      HOME: folder,
      MINIO_ROOT_USER: accessKey,
      MINIO_ROOT_PASSWORD: secretKey,
      MINIO_BROWSER: 'off',
      MINIO_UPDATE: 'off',
      MINIO_PROMETHEUS_AUTH_TYPE: 'public',
    },
    stdio: 'ignore',
  })
  const ended = new Promise(resolve => child.once('exit', resolve))
  closer.add('minio', async () => {
    child.kill('SIGKILL')
    await ended
  })
  const endpoint = `http://127.0.0.1:${port}`
  for (let tries = 0; (await fetch(endpoint).catch(() => undefined))?.status !== 403; tries++) {
    if (tries > 200 || child.exitCode !== null) throw new Error('MinIO did not start')
    await sleep(100)
  }
  return {
    endpoint,
    accessKey,
    secretKey,
    pid: child.pid!,
    folder: join(folder, 'minio'),
    async requests() {
      const text = await (await fetch(`${endpoint}/minio/metrics/v3/api/requests`)).text()
      const counts: Record<string, number> = {}
      for (const [, name = '', count] of text.matchAll(/^minio_api_requests_total\{[^}]*name="([^"]+)"[^}]*\} (\d+)/gm)) {
        counts[name.toLowerCase()] = (counts[name.toLowerCase()] ?? 0) + Number(count)
      }
      return counts
    },
  }
}
