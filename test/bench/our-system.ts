import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BackupOptions, Run, Vm } from '@varve/catalog-client'
import type { Closer } from '@varve/runtime'
import type { Services } from '@varve/standalone'
import { startProcesses } from '../support/processes.ts'
import { ROOT } from '../support/system.ts'
import type { BenchPlatform } from './bench-platform.ts'

export const VARVE = join(ROOT, 'packages', 'cli', 'bin', 'varve.mjs')

/** Each question costs the process that is measured some milliseconds; a run's own times are finer. */
const POLL_MS = 200

/** Peers read the raw file or plain NBD, so does Varve; what TLS, the default, costs is a row of its own. */
export type Transport = 'nbd' | 'nbd_ssl'

/** Varve beside a platform it knows. */
export interface OurApi {
  call<Answer>(method: string, path: string, body?: unknown): Promise<Answer>
  readonly platformId: string
  /** Ours for a platform's VM; reads the inventory again. Disks come over plain NBD, unless asked for over TLS. */
  vmId(platformVmId: string, transport?: Transport): Promise<string>
  /** The id of a VM's newest restore point. */
  newestPoint(vmId: string): Promise<string>
  startBackup(vmId: string, options?: BackupOptions): Promise<Run>
  /** To the end. @throws when it does not succeed */
  ended(run: Run): Promise<Run>
  backup(vmId: string, options?: BackupOptions): Promise<Run>
  restore(pointId: string, name: string): Promise<Run>
}

/** All of it in one process. */
export interface OurSystem extends OurApi {
  readonly pid: number
  stop(): Promise<void>
}

/** Every service a process of its own. */
export interface OurProcesses extends OurApi {
  readonly services: Services
}

export interface OurOptions {
  readonly folder: string
  readonly platform: BenchPlatform
  /** `file:///…` or `s3://…`. */
  readonly repository: string
  readonly env: Readonly<Record<string, string>>
  /** For Node itself, such as `--cpu-prof`. */
  readonly nodeArgs?: readonly string[]
}

export async function startOurStandalone({ folder, platform, repository, env, nodeArgs = [] }: OurOptions): Promise<OurSystem> {
  const args = [...nodeArgs, VARVE, 'standalone', '--home', folder, '--port', '0', '--repository', repository, '--json']
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    // Looking for leaks is no part of what is measured.
    env: { ...process.env, VARVE_LOG_LEVEL: 'warn', VARVE_LEAKS_EVERY_SECONDS: '0', ...env },
  })
  const killAtExit = (): void => void child.kill('SIGKILL')
  process.once('exit', killAtExit)
  const ended = new Promise(resolve => child.once('exit', resolve)).finally(() => process.off('exit', killAtExit))
  const first = await Promise.race([
    new Promise<string>(resolve => createInterface({ input: child.stdout }).once('line', resolve)),
    ended.then(() => Promise.reject(new Error('standalone did not start'))),
  ])
  const { apiUrl, token } = JSON.parse(first) as { apiUrl: string; token: string }
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    await ended
  }
  try {
    return { ...(await connect(apiUrl, token, platform)), pid: child.pid!, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

export async function startOurProcesses(
  { folder, platform, repository, env }: OurOptions,
  closer: Closer,
  counts: { readonly readers: number; readonly writers: number },
): Promise<OurProcesses> {
  const services = await startProcesses({ folder, closer, repositoryUrl: repository, environment: env, ...counts })
  return { ...(await connect(services.apiUrl, services.token, platform)), services }
}

async function connect(apiUrl: string, token: string, { under }: BenchPlatform): Promise<OurApi> {
  const call = async <Answer>(method: string, path: string, body?: unknown): Promise<Answer> => {
    const answer = await fetch(`${apiUrl}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
    return (await answer.json()) as Answer
  }
  const add = async (transport: Transport): Promise<string> => {
    const platform = { name: `lab ${transport}`, kind: 'scp', url: under.url, credentials: under.credentials, transport }
    return (await call<{ id: string }>('POST', '/v1/platforms', platform)).id
  }
  const platformId = await add('nbd')
  const ended = async (run: Run): Promise<Run> => {
    for (let now = run; ; now = await call<Run>('GET', `/v1/runs/${run.id}`)) {
      if (now.endedAt !== null) {
        if (now.state !== 'succeeded') throw new Error(`${now.kind} ${now.state}: ${now.reason} ${now.message}`)
        return now
      }
      await sleep(POLL_MS)
    }
  }
  const startBackup = (vmId: string, options: BackupOptions = {}): Promise<Run> => call('POST', `/v1/vms/${vmId}/backups`, options)
  return {
    call,
    platformId,
    async vmId(platformVmId, transport = 'nbd') {
      const of = transport === 'nbd' ? platformId : await add(transport)
      await call('POST', `/v1/platforms/${of}/sync`, {})
      const { items } = await call<{ items: Vm[] }>('GET', '/v1/vms')
      const vm = items.find(item => item.platformVmId === platformVmId && item.platformId === of)
      if (vm === undefined) throw new Error(`Varve does not know VM ${platformVmId}`)
      return vm.id
    },
    newestPoint: async vmId => (await call<Vm>('GET', `/v1/vms/${vmId}`)).lastPoint!.id,
    startBackup,
    ended,
    backup: async (vmId, options) => ended(await startBackup(vmId, options)),
    restore: async (pointId, name) => ended(await call('POST', `/v1/restore-points/${pointId}/restores`, { target: 'new-vm', name })),
  }
}

/** Seconds from the call to the end, as the catalog tells them. */
export function runSeconds({ createdAt, endedAt }: Run): number {
  return (Date.parse(endedAt!) - Date.parse(createdAt)) / 1000
}
