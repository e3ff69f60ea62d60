import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Run, Vm } from '@varve/catalog-client'
import { connectNbd } from '@varve/nbd'
import { openPlatform, type PlatformDriver } from '@varve/platform'
import { Closer, createLogger, MiB } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { exportHash, noise } from '../support/pattern.ts'
import { type Processes, startProcesses } from '../support/processes.ts'
import { type PlatformUnderTest, startPlatform, vmConfig } from '../support/system.ts'

/** SIGTERM to services of a Varve that runs as separate processes, while a backup copies. */

const SIZE = 512 * MiB
const closer = new Closer()
let platform: PlatformUnderTest
let driver: PlatformDriver
let varve: Processes
let platformVmId: string
let vmId: string
let written: string

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'varve-graceful-'))
  closer.add('folder', () => rm(folder, { recursive: true, force: true }))
  platform = await startPlatform(join(folder, 'platform'))
  closer.add('platform', () => platform.stop())
  varve = await startProcesses({ folder: join(folder, 'varve'), closer, readers: 2, environment: { VARVE_LANES: '1' } })
  const log = createLogger('test', 'silent')
  driver = await openPlatform({ id: 'test', kind: 'scp', url: platform.url, credentials: platform.credentials }, { log })
  closer.add('driver', () => driver.close())
  platformVmId = await driver.createVm(vmConfig('app', [{ id: 'virtio0', size: SIZE }]), 'app', 'graceful')
  await driver.power(platformVmId, 'on')
  const disk = await connectNbd({ path: platform.guestSocket, exportName: `${platformVmId}/virtio0` })
  for (let offset = 0; offset < SIZE; offset += 4 * MiB) await disk.write(offset, noise(`at ${offset}`, 4 * MiB))
  await disk.flush()
  written = await exportHash(disk)
  await disk.close()
  const { id } = await api<{ id: string }>('POST', '/v1/platforms', {
    name: 'lab',
    kind: 'scp',
    url: platform.url,
    credentials: platform.credentials,
  })
  await api('POST', `/v1/platforms/${id}/sync`, {})
  vmId = (await api<{ items: Vm[] }>('GET', '/v1/vms')).items[0]!.id
}, 120_000)
afterAll(() => closer.close(), 60_000)

async function api<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
  const answer = await fetch(varve.apiUrl + path, {
    method,
    headers: { authorization: `Bearer ${varve.token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
  return (await answer.json()) as Answer
}

/** A backup that has copied something, and not everything. */
async function inMidCopy(): Promise<Run> {
  const { id } = await api<Run>('POST', `/v1/vms/${vmId}/backups`, { full: true })
  for (;;) {
    const run = await api<Run>('GET', `/v1/runs/${id}`)
    if (run.state === 'copying' && run.totals.read > 0) return run
    if (run.endedAt !== null) throw new Error(`the run ended before it was seen to copy: ${JSON.stringify(run)}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

async function ended({ id }: Run): Promise<Run> {
  for (;;) {
    const run = await api<Run>('GET', `/v1/runs/${id}`)
    if (run.endedAt !== null) return run
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

async function stopped(child: ChildProcess): Promise<{ code: number | null; ms: number }> {
  const began = performance.now()
  child.kill('SIGTERM')
  if (child.exitCode === null) await once(child, 'exit')
  return { code: child.exitCode, ms: performance.now() - began }
}

/** Bytes of a point that came back, from the disk of the VM made for it. */
async function restoredHash(pointId: string, name: string): Promise<string> {
  const run = await ended(await api<Run>('POST', `/v1/restore-points/${pointId}/restores`, { target: 'new-vm', name, powerOn: true }))
  expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
  const disk = await connectNbd({ path: platform.guestSocket, exportName: `${run.targetPlatformVmId}/virtio0` })
  try {
    return await exportHash(disk)
  } finally {
    await disk.close()
  }
}

test('a block-reader that is stopped in mid-copy ends its range and exits 0; another one does the rest', async () => {
  const run = await inMidCopy()
  const { code, ms } = await stopped(varve.children.get('block-reader')!)
  expect(code).toBe(0)
  expect(ms).toBeLessThan(20_000)
  const done = await ended(run)
  expect(done, JSON.stringify(done)).toMatchObject({ state: 'succeeded' })
  expect(await restoredHash(done.restorePointId!, 'app-1')).toBe(written)
}, 120_000)

test('a block-reader without time to end its range hands it back, and exits 0', async () => {
  // 7 s are what handing back may take: nothing is left for the range.
  const hasty = await varve.start('block-reader', { VARVE_STOP_SECONDS: '7' })
  await varve.ready()
  const run = await inMidCopy()
  const { code, ms } = await stopped(hasty)
  expect(code).toBe(0)
  expect(ms).toBeLessThan(7000)
  const done = await ended(run)
  expect(done, JSON.stringify(done)).toMatchObject({ state: 'succeeded' })
}, 120_000)

test('all services that take part are stopped in mid-copy and started again: the run goes on and nothing is left behind', async () => {
  const run = await inMidCopy()
  const names = ['block-reader-2', 'snapshot', 'block-writer'] as const
  const ends = await Promise.all(names.map(name => stopped(varve.children.get(name)!)))
  expect(ends.map(end => end.code)).toEqual([0, 0, 0])
  for (const service of ['block-reader', 'snapshot', 'block-writer'] as const) await varve.start(service)
  const done = await ended(run)
  expect(done, JSON.stringify(done)).toMatchObject({ state: 'succeeded' })
  expect(await restoredHash(done.restorePointId!, 'app-2')).toBe(written)
  expect(await driver.listSnapshots(platformVmId, 'varve-')).toEqual([])
  const lease = await driver.createLease(platformVmId, 'backup', 60)
  await driver.releaseLease(lease.id)
}, 120_000)

test('every service stops with 0, also when the catalog is away', async () => {
  expect((await stopped(varve.children.get('api')!)).code).toBe(0)
  expect((await stopped(varve.children.get('catalog')!)).code).toBe(0)
  const running = [...varve.children].filter(([, child]) => child.exitCode === null)
  expect(running.map(([name]) => name).sort()).toEqual(['block-reader-4', 'block-writer-2', 'maintenance', 'snapshot-2'])
  for (const [name, child] of running) {
    const { code, ms } = await stopped(child)
    expect(code, name).toBe(0)
    expect(ms, name).toBeLessThan(20_000)
  }
}, 60_000)
