import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { BackupOptions, RestoreOptions, Run, Vm } from '@varve/catalog-client'
import { connectNbd, type NbdClient } from '@varve/nbd'
import { openPlatform, type PlatformDriver } from '@varve/platform'
import { Closer, createLogger } from '@varve/runtime'
import { type Standalone, type StandaloneOptions, startStandalone } from '@varve/standalone'

/** The checkout, also from the built tests in `test/dist`. */
export const ROOT = join(import.meta.dirname.replace('/test/dist/', '/test/'), '..', '..')
const VARVE = join(ROOT, 'packages', 'cli', 'bin', 'varve.mjs')

/** The reference platform as a process of its own, which tests may kill and start again on the same folder. */
export interface PlatformUnderTest {
  readonly url: string
  readonly guestSocket: string
  readonly credentials: { readonly username: string; readonly password: string }
  readonly process: ChildProcess
  stop(signal?: NodeJS.Signals): Promise<void>
}

export async function startPlatform(dataDir: string, extra: readonly string[] = [], port = 0): Promise<PlatformUnderTest> {
  const child = spawn(process.execPath, [VARVE, 'hci', '--data', dataDir, '--port', String(port), '--json', ...extra], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, VARVE_LOG_LEVEL: process.env.VARVE_TEST_LOG ?? 'warn' },
  })
  let complaints = ''
  child.stderr.on('data', bytes => {
    complaints = (complaints + String(bytes)).slice(-8000)
    if (process.env.VARVE_TEST_LOG) process.stderr.write(bytes)
  })
  const killAtExit = (): void => {
    child.kill('SIGKILL')
  }
  process.once('exit', killAtExit)
  const ended = new Promise<void>(resolve =>
    child.once('exit', () => {
      process.off('exit', killAtExit)
      resolve()
    }),
  )
  const first = await Promise.race([
    new Promise<string>(resolve => createInterface({ input: child.stdout }).once('line', resolve)),
    ended.then(() => {
      throw new Error(`the platform did not start: ${complaints}`)
    }),
  ])
  const { url, guestSocket, username, password } = JSON.parse(first) as {
    url: string
    guestSocket: string
    username: string
    password: string
  }
  return {
    url,
    guestSocket,
    credentials: { username, password },
    process: child,
    async stop(signal = 'SIGTERM') {
      child.kill(signal)
      await ended
    },
  }
}

/** A platform and a Varve, and the short cuts that tests want. */
export interface System {
  readonly folder: string
  readonly platform: PlatformUnderTest
  /** The one that runs now. */
  readonly varve: Standalone
  /** Stop Varve, do something to its home, start it again: nothing is left in any cache. */
  restartVarve(meanwhile?: () => Promise<void>): Promise<void>
  readonly driver: PlatformDriver
  readonly closer: Closer
  readonly platformId: string
  /** Make a VM with empty disks, powered on, known to Varve. */
  createVm(name: string, disks: readonly { readonly id: string; readonly size: number }[]): Promise<{ vmId: string; platformVmId: string }>
  /** Varve's id of a platform's VM, after reading the inventory again. */
  vmId(platformVmId: string): Promise<string>
  /** The live disk, as the guest has it. */
  guest(platformVmId: string, diskId: string): Promise<NbdClient>
  startBackup(vmId: string, options?: BackupOptions): Promise<Run>
  backup(vmId: string, options?: BackupOptions): Promise<Run>
  restore(pointId: string, options: RestoreOptions): Promise<Run>
  ended(run: Run, ms?: number): Promise<Run>
  api<Answer>(method: string, path: string, body?: unknown): Promise<Answer>
  /** A call to the platform's own HTTP API (test faults, import). */
  platformCall<Answer>(method: string, path: string, body?: unknown): Promise<Answer>
  close(): Promise<void>
}

export interface SystemOptions {
  readonly standalone?: Partial<StandaloneOptions>
  readonly platformArgs?: readonly string[]
}

export async function startSystem(options: SystemOptions = {}): Promise<System> {
  const closer = new Closer()
  try {
    return await openSystem(closer, options)
  } catch (error) {
    await closer.close().catch(() => {})
    throw error
  }
}

async function openSystem(closer: Closer, options: SystemOptions): Promise<System> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-e2e-'))
  closer.add('folder', () => rm(folder, { recursive: true, force: true }))
  const platform = await startPlatform(join(folder, 'platform'), options.platformArgs)
  closer.add('platform', () => platform.stop())
  const log = createLogger('test', (process.env.VARVE_TEST_LOG as 'info' | undefined) ?? 'silent')
  const start = (): Promise<Standalone> => startStandalone({ home: join(folder, 'varve'), port: 0, log, ...options.standalone })
  let varve = await start()
  closer.add('varve', () => varve.close())
  const driver = await openPlatform({ id: 'test', kind: 'scp', url: platform.url, credentials: platform.credentials }, { log })
  closer.add('driver', () => driver.close())

  const api = async <Answer>(method: string, path: string, body?: unknown): Promise<Answer> => {
    const answer = await fetch(`${varve.apiUrl}${path}`, {
      method,
      headers: { authorization: `Bearer ${varve.token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const json = (await answer.json()) as Answer & { code?: string; message?: string }
    if (!answer.ok)
      throw Object.assign(new Error(`${answer.status} ${json.code}: ${json.message}`), { code: json.code, status: answer.status })
    return json
  }
  const { id: platformId } = await api<{ id: string }>('POST', '/v1/platforms', {
    name: 'lab',
    kind: 'scp',
    url: platform.url,
    credentials: platform.credentials,
  })

  const system: System = {
    folder,
    platform,
    get varve() {
      return varve
    },
    async restartVarve(meanwhile) {
      await varve.close()
      await meanwhile?.()
      varve = await start()
    },
    driver,
    closer,
    platformId,
    api,
    async createVm(name, disks) {
      const platformVmId = await driver.createVm(vmConfig(name, disks), name, `test-${name}`)
      await driver.power(platformVmId, 'on')
      return { platformVmId, vmId: await system.vmId(platformVmId) }
    },
    async vmId(platformVmId) {
      await api('POST', `/v1/platforms/${platformId}/sync`, {})
      const { items } = await api<{ items: Vm[] }>('GET', '/v1/vms')
      const vm = items.find(item => item.platformVmId === platformVmId)
      if (vm === undefined) throw new Error(`Varve does not know ${platformVmId}`)
      return vm.id
    },
    async guest(platformVmId, diskId) {
      const client = await connectNbd({ path: platform.guestSocket, exportName: `${platformVmId}/${diskId}` })
      closer.add(`${platformVmId}/${diskId}`, () => client.close())
      return client
    },
    startBackup: (vmId, body = {}) => api<Run>('POST', `/v1/vms/${vmId}/backups`, body),
    async backup(vmId, body) {
      return system.ended(await system.startBackup(vmId, body))
    },
    async restore(pointId, body) {
      return system.ended(await api<Run>('POST', `/v1/restore-points/${pointId}/restores`, body))
    },
    async ended(run, ms = 120_000) {
      const deadline = Date.now() + ms
      for (;;) {
        const now = await api<Run>('GET', `/v1/runs/${run.id}`)
        if (now.endedAt !== null) return now
        if (Date.now() > deadline) throw new Error(`run ${run.id} is still ${now.state} after ${ms} ms: ${JSON.stringify(now)}`)
        await new Promise(resolve => setTimeout(resolve, 100))
      }
    },
    async platformCall<Answer>(method: string, path: string, body?: unknown) {
      const answer = await fetch(`${platform.url}${path}`, {
        method,
        headers: body === undefined ? {} : { 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const text = await answer.text()
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
      return (text === '' ? undefined : JSON.parse(text)) as Answer
    },
    close: () => closer.close(),
  }
  return system
}

/** A VM configuration as the platform's snapshots record it. */
export function vmConfig(name: string, disks: readonly { readonly id: string; readonly size: number }[]): Record<string, unknown> {
  return {
    name,
    os_option: { distribution_name: 'Debian 12' },
    hardware_option: {
      cpu: { sockets: 1, cores: 2 },
      memory: { size_gb: 2 },
      disks: disks.map(disk => ({
        device_id: disk.id,
        disk_type: 'VIRTUALDISK',
        adapter_type: 'VIRTIO',
        format_type: 'raw',
        size_gb: disk.size / 2 ** 30,
        size_bytes: disk.size,
      })),
      network_adapters: [],
    },
  }
}
