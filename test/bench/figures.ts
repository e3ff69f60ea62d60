import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Run, Vm } from '@varve/catalog-client'
import { connectNbd, type NbdClient } from '@varve/nbd'
import { openPlatform, type PlatformDriver } from '@varve/platform'
import { Closer, createLogger, formatBytes, GiB, KiB, MiB, TiB } from '@varve/runtime'
import { noise } from '../support/pattern.ts'
import { startProcesses } from '../support/processes.ts'
import { startPlatform, vmConfig } from '../support/system.ts'

/**
 * Time and bytes of the main job with every service as a process of its own, and each one's peak memory:
 *
 *     npm run build && node test/dist/bench/figures.js [--folder DIR] [--only 4g,1t,63t] [--json]
 *
 * Give a RAM-backed folder (`--folder /dev/shm`) to leave the disk out of it. Figures are notes of one machine; compare only within one run.
 */
const { values } = parseArgs({
  options: {
    folder: { type: 'string', default: tmpdir() },
    only: { type: 'string', default: '4g,1t,63t' },
    json: { type: 'boolean', default: false },
  },
})

interface Row {
  readonly what: string
  readonly seconds: number
  readonly read: number
  readonly stored: number
  readonly note: string
}
const rows: Row[] = []
const wanted = new Set(values.only.split(','))

/** Peak resident memory of a process, bytes (VmHWM of /proc/pid/status). */
function peakMemory(pid: number): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * KiB
}

async function main(): Promise<void> {
  const closer = new Closer()
  try {
    const folder = await mkdtemp(join(values.folder, 'varve-figures-'))
    closer.add('folder', () => rm(folder, { recursive: true, force: true }))
    const platform = await startPlatform(join(folder, 'platform'))
    closer.add('platform', () => platform.stop())
    const varve = await startProcesses({ folder: join(folder, 'varve'), closer })
    const driver = await openPlatform(
      { id: 'figures', kind: 'scp', url: platform.url, credentials: platform.credentials },
      { log: createLogger('figures', 'silent') },
    )
    closer.add('driver', () => driver.close())
    const api = async <Answer>(method: string, path: string, body?: unknown): Promise<Answer> => {
      const answer = await fetch(`${varve.apiUrl}${path}`, {
        method,
        headers: { authorization: `Bearer ${varve.token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
      return (await answer.json()) as Answer
    }
    const { id: platformId } = await api<{ id: string }>('POST', '/v1/platforms', {
      name: 'lab',
      kind: 'scp',
      url: platform.url,
      credentials: platform.credentials,
    })
    const timed = async (what: string, start: () => Promise<Run>): Promise<Run> => {
      const began = Date.now()
      let run = await start()
      while (run.endedAt === null) {
        await new Promise(resolve => setTimeout(resolve, 50))
        run = await api<Run>('GET', `/v1/runs/${run.id}`)
      }
      if (run.state !== 'succeeded') throw new Error(`${what}: ${run.state} ${run.reason} ${run.message}`)
      const reasons = run.images.map(image => image.reason).filter(reason => reason !== null)
      rows.push({
        what,
        seconds: (Date.now() - began) / 1000,
        read: run.totals.read,
        stored: run.totals.written,
        note: `planned ${formatBytes(run.totals.planned)}${reasons.length > 0 ? `, ${reasons.join(', ')}` : ''}`,
      })
      return run
    }
    const bench: Bench = {
      driver,
      timed,
      api,
      guest: (vm, diskId) => connectNbd({ path: platform.guestSocket, exportName: `${vm}/${diskId}` }),
      async vm(name, size) {
        const platformVmId = await driver.createVm(vmConfig(name, [{ id: 'virtio0', size }]), name, `figures-${name}`)
        await driver.power(platformVmId, 'on')
        await api('POST', `/v1/platforms/${platformId}/sync`, {})
        const { items } = await api<{ items: Vm[] }>('GET', '/v1/vms')
        return { platformVmId, vmId: items.find(vm => vm.platformVmId === platformVmId)!.id }
      },
    }
    if (wanted.has('4g')) await fourGiB(bench)
    if (wanted.has('1t')) await sparse(bench, '1 TiB', TiB)
    if (wanted.has('63t')) await sparse(bench, '63 TiB', 63 * TiB)
    const processes: [string, ChildProcess][] = [...varve.children, ['hci', platform.process]]
    const memory = processes.map(([name, child]) => ({ name, bytes: peakMemory(child.pid!) }))
    print(memory)
  } finally {
    await closer.close()
  }
}

interface Bench {
  readonly driver: PlatformDriver
  timed(what: string, start: () => Promise<Run>): Promise<Run>
  api<Answer>(method: string, path: string, body?: unknown): Promise<Answer>
  guest(vm: string, diskId: string): Promise<NbdClient>
  vm(name: string, size: number): Promise<{ platformVmId: string; vmId: string }>
}

/** 4 GiB with 2 GiB of data (half of it text-like, half random); then 1 % in 64 KiB pieces; then a restore to a new VM. */
async function fourGiB(bench: Bench): Promise<void> {
  const { platformVmId, vmId } = await bench.vm('four', 4 * GiB)
  const disk = await bench.guest(platformVmId, 'virtio0')
  const text = Buffer.from('2026-03-01T12:00:00 GET /orders?id=4711 200 12ms\n'.repeat(50_000)).subarray(0, 2 * MiB)
  for (let i = 0; i < 512; i += 1) {
    const bytes = noise(`four ${i}`, 4 * MiB)
    if (i % 2 === 0) for (let at = 0; at < bytes.length; at += 64 * KiB) text.copy(bytes, at, 0, 44 * KiB)
    await disk.write(i * 8 * MiB, bytes)
  }
  await disk.flush()
  await bench.timed('4 GiB disk, 2 GiB of data: full', () => bench.api('POST', `/v1/vms/${vmId}/backups`, {}))
  for (let i = 0; i < 655; i += 1) await disk.write(((i * 7919) % 65_536) * 64 * KiB, noise(`change ${i}`, 64 * KiB))
  await disk.flush()
  await disk.close()
  const run = await bench.timed('4 GiB disk, 1 % changed in 64 KiB pieces: incremental', () =>
    bench.api('POST', `/v1/vms/${vmId}/backups`, {}),
  )
  await bench.timed('4 GiB disk: restore to a new VM', () =>
    bench.api('POST', `/v1/restore-points/${run.restorePointId}/restores`, { target: 'new-vm', name: 'four-restored' }),
  )
}

/** A sparse disk with 100 MB changed in 64 KiB pieces all over it. */
async function sparse(bench: Bench, label: string, size: number): Promise<void> {
  const { platformVmId, vmId } = await bench.vm(`sparse-${label.replace(' ', '')}`, size)
  const disk = await bench.guest(platformVmId, 'virtio0')
  await disk.write(0, noise('head', 64 * MiB))
  await bench.timed(`${label} sparse disk, 64 MiB of data: full`, () => bench.api('POST', `/v1/vms/${vmId}/backups`, {}))
  const pieces = 1526
  for (let i = 0; i < pieces; i += 1)
    await disk.write(Math.floor(((i + 0.5) * size) / pieces / (64 * KiB)) * 64 * KiB, noise(`piece ${i}`, 64 * KiB))
  await disk.flush()
  await disk.close()
  await bench.timed(`${label} sparse disk, 100 MB changed: incremental`, () => bench.api('POST', `/v1/vms/${vmId}/backups`, {}))
}

function print(memory: readonly { name: string; bytes: number }[]): void {
  if (values.json) {
    console.log(JSON.stringify({ node: process.version, cpus: cpus().length, memory: totalmem(), rows, peak: memory }, null, 2))
    return
  }
  for (const row of rows) {
    console.log(
      `${row.what.padEnd(56)} ${row.seconds.toFixed(2).padStart(7)} s  read ${formatBytes(row.read).padStart(9)}  stored/written ${formatBytes(row.stored).padStart(9)}  ${row.note}`,
    )
  }
  for (const { name, bytes } of memory) console.log(`peak memory ${name.padEnd(30)} ${formatBytes(bytes)}`)
}

await main()
