import { spawn } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BackupOptions, Run, Vm } from '@varve/catalog-client'
import { connectNbd, type NbdClient } from '@varve/nbd'
import { openPlatform, type PlatformDriver } from '@varve/platform'
import { type Closer, createLogger } from '@varve/runtime'
import { type PlatformUnderTest, ROOT, startPlatform } from '../support/system.ts'

const VARVE = join(ROOT, 'packages', 'cli', 'bin', 'varve.mjs')

const POLL_MS = 200

/** The reference platform and Varve, each a process, for measuring. */
export interface OurSystem {
  readonly platform: PlatformUnderTest
  readonly varvePid: number
  readonly home: string
  readonly vmId: string
  backup(options?: BackupOptions): Promise<Run>
  restore(pointId: string, name: string): Promise<Run>
  /** The live disk. */
  guest(): Promise<NbdClient>
  /** The same as a URI for other tools. */
  readonly guestUri: string
  /** A VM that was restored takes room in memory. */
  removeVm(platformVmId: string): Promise<void>
  stop(): Promise<void>
}

export interface OurOptions {
  readonly folder: string
  readonly platform: PlatformUnderTest
  readonly platformVmId: string
  /** `file:///…` or `s3://…`. */
  readonly repository: string
  readonly env: Readonly<Record<string, string>>
  /** For Node itself, such as `--cpu-prof`. */
  readonly nodeArgs?: readonly string[]
}

/** A platform with one VM whose only disk `virtio0` is the image. */
export async function startBenchPlatform(
  folder: string,
  image: string,
  closer: Closer,
): Promise<{ platform: PlatformUnderTest; platformVmId: string }> {
  await mkdir(folder, { recursive: true })
  const platform = await startPlatform(join(folder, 'platform'), ['--import', image, '--name', 'bench'])
  closer.add('platform', () => platform.stop())
  const platformVmId = await withDriver(platform, async driver => {
    for await (const vm of driver.listVms()) if (vm.name === 'bench') return vm.id
    throw new Error('the platform has no VM of that name')
  })
  return { platform, platformVmId }
}

/** The platform's API, for a moment. */
async function withDriver<T>(platform: PlatformUnderTest, act: (driver: PlatformDriver) => Promise<T>): Promise<T> {
  const access = { id: 'bench', kind: 'scp', url: platform.url, credentials: platform.credentials } as const
  const driver = await openPlatform(access, { log: createLogger('bench', 'silent') })
  try {
    return await act(driver)
  } finally {
    await driver.close()
  }
}

export async function startOurSystem({ folder, platform, platformVmId, repository, env, nodeArgs = [] }: OurOptions): Promise<OurSystem> {
  const args = [...nodeArgs, VARVE, 'standalone', '--home', folder, '--port', '0', '--repository', repository, '--json']
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, VARVE_LOG_LEVEL: 'warn', ...env },
  })
  const ended = new Promise(resolve => child.once('exit', resolve))
  const first = await Promise.race([
    new Promise<string>(resolve => createInterface({ input: child.stdout }).once('line', resolve)),
    ended.then(() => Promise.reject(new Error('standalone did not start'))),
  ])
  const { apiUrl, token } = JSON.parse(first) as { apiUrl: string; token: string }
  const api = async <Answer>(method: string, path: string, body?: unknown): Promise<Answer> => {
    const answer = await fetch(`${apiUrl}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
    return (await answer.json()) as Answer
  }
  const { id } = await api<{ id: string }>('POST', '/v1/platforms', {
    name: 'lab',
    kind: 'scp',
    url: platform.url,
    credentials: platform.credentials,
  })
  await api('POST', `/v1/platforms/${id}/sync`, {})
  const { items } = await api<{ items: Vm[] }>('GET', '/v1/vms')
  const vm = items.find(item => item.platformVmId === platformVmId)
  if (vm === undefined) throw new Error(`Varve does not know VM ${platformVmId}`)
  const ending = async (run: Run): Promise<Run> => {
    for (let now = run; ; now = await api<Run>('GET', `/v1/runs/${run.id}`)) {
      if (now.endedAt !== null) {
        if (now.state !== 'succeeded') throw new Error(`${now.kind} ${now.state}: ${now.reason} ${now.message}`)
        return now
      }
      // Each question costs the process that is measured some milliseconds; the run's own times are finer.
      await sleep(POLL_MS)
    }
  }
  return {
    platform,
    varvePid: child.pid!,
    home: folder,
    vmId: vm.id,
    backup: async (options = {}) => ending(await api<Run>('POST', `/v1/vms/${vm.id}/backups`, options)),
    restore: async (pointId, name) => ending(await api<Run>('POST', `/v1/restore-points/${pointId}/restores`, { target: 'new-vm', name })),
    guestUri: `nbd+unix:///${platformVmId}/virtio0?socket=${platform.guestSocket}`,
    guest: () => connectNbd({ path: platform.guestSocket, exportName: `${platformVmId}/virtio0` }),
    removeVm: id => withDriver(platform, driver => driver.deleteVm(id)),
    async stop() {
      child.kill('SIGTERM')
      await ended
    },
  }
}
