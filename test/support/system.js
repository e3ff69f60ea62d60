import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { connectNbd } from '@varve/nbd'
import { openPlatform } from '@varve/platform'
import { Closer, createLogger } from '@varve/runtime'
import { startStandalone } from '@varve/standalone'
export const ROOT = join(import.meta.dirname, '..', '..')
const VARVE = join(ROOT, 'packages', 'cli', 'bin', 'varve.mjs')
export async function startPlatform(dataDir, extra = [], port = 0) {
  const child = spawn(process.execPath, [VARVE, 'hci', '--data', dataDir, '--port', String(port), '--json', ...extra], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, VARVE_LOG_LEVEL: process.env.VARVE_TEST_LOG ?? 'warn' },
  })
  let complaints = ''
  child.stderr.on('data', bytes => {
    complaints = (complaints + String(bytes)).slice(-8000)
    if (process.env.VARVE_TEST_LOG) process.stderr.write(bytes)
  })
  const killAtExit = () => {
    child.kill('SIGKILL')
  }
  process.once('exit', killAtExit)
  const ended = new Promise(resolve =>
    child.once('exit', () => {
      process.off('exit', killAtExit)
      resolve()
    }),
  )
  const first = await Promise.race([
    new Promise(resolve => createInterface({ input: child.stdout }).once('line', resolve)),
    ended.then(() => {
      throw new Error(`the platform did not start: ${complaints}`)
    }),
  ])
  const { url, guestSocket, username, password } = JSON.parse(first)
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
export async function startSystem(options = {}) {
  const closer = new Closer()
  try {
    return await openSystem(closer, options)
  } catch (error) {
    await closer.close().catch(() => {})
    throw error
  }
}
async function openSystem(closer, options) {
  const folder = await mkdtemp(join(tmpdir(), 'varve-e2e-'))
  closer.add('folder', () => rm(folder, { recursive: true, force: true }))
  const platform = await startPlatform(join(folder, 'platform'), options.platformArgs)
  closer.add('platform', () => platform.stop())
  const log = createLogger('test', process.env.VARVE_TEST_LOG ?? 'silent')
  const start = () => startStandalone({ home: join(folder, 'varve'), port: 0, log, ...options.standalone })
  let varve = await start()
  closer.add('varve', () => varve.close())
  const driver = await openPlatform({ id: 'test', kind: 'scp', url: platform.url, credentials: platform.credentials }, { log })
  closer.add('driver', () => driver.close())
  const api = async (method, path, body) => {
    const answer = await fetch(`${varve.apiUrl}${path}`, {
      method,
      headers: { authorization: `Bearer ${varve.token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const json = await answer.json()
    if (!answer.ok)
      throw Object.assign(new Error(`${answer.status} ${json.code}: ${json.message}`), { code: json.code, status: answer.status })
    return json
  }
  const { id: platformId } = await api('POST', '/v1/platforms', {
    name: 'lab',
    kind: 'scp',
    url: platform.url,
    credentials: platform.credentials,
  })
  const system = {
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
      const { items } = await api('GET', '/v1/vms')
      const vm = items.find(item => item.platformVmId === platformVmId)
      if (vm === undefined) throw new Error(`Varve does not know ${platformVmId}`)
      return vm.id
    },
    async guest(platformVmId, diskId) {
      const client = await connectNbd({ path: platform.guestSocket, exportName: `${platformVmId}/${diskId}` })
      closer.add(`${platformVmId}/${diskId}`, () => client.close())
      return client
    },
    startBackup: (vmId, body = {}) => api('POST', `/v1/vms/${vmId}/backups`, body),
    async backup(vmId, body) {
      return system.ended(await system.startBackup(vmId, body))
    },
    async restore(pointId, body) {
      return system.ended(await api('POST', `/v1/restore-points/${pointId}/restores`, body))
    },
    async ended(run, ms = 120_000) {
      const deadline = Date.now() + ms
      for (;;) {
        const now = await api('GET', `/v1/runs/${run.id}`)
        if (now.endedAt !== null) return now
        if (Date.now() > deadline) throw new Error(`run ${run.id} is still ${now.state} after ${ms} ms: ${JSON.stringify(now)}`)
        await new Promise(resolve => setTimeout(resolve, 100))
      }
    },
    async platformCall(method, path, body) {
      const answer = await fetch(`${platform.url}${path}`, {
        method,
        headers: body === undefined ? {} : { 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const text = await answer.text()
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
      return text === '' ? undefined : JSON.parse(text)
    },
    close: () => closer.close(),
  }
  return system
}
/** A VM configuration as the platform's snapshots record it. */
export function vmConfig(name, disks) {
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
//# sourceMappingURL=system.js.map
