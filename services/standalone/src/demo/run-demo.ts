import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { RestorePoint, Run, Vm } from '@varve/catalog-client'
import { connectNbd, type NbdClient } from '@varve/nbd'
import { openPlatform } from '@varve/platform'
import { Closer, createLogger, MiB } from '@varve/runtime'
import { startStandalone } from '../standalone.ts'
import { ApiClient } from './api-client.ts'
import { drawChain } from './chain-picture.ts'
import { changedStrips } from './changed-strip.ts'
import { compareDisks } from './compare.ts'
import { PIECE } from './guest-data.ts'
import { GuestDisk } from './guest-disk.ts'
import { bold, clearLine, dim, fact, formatBytes, formatDuration, progressLine, red, step } from './paint.ts'
import { startPlatform } from './platform-process.ts'

const USAGE = `varve demo [--keep] [--seed N]

The main job on one machine, in under a minute: a VM with two disks is backed up, changed, backed up again, lost, restored and
compared byte by byte.

  --keep      leave everything running afterwards and say how to go on by hand
  --seed N    which of the reproducible data sets to use (default 1)

Exit code 0 when the restored disks are byte-identical, 1 when not or when a step failed.`

/** Disk sizes and what the guest has written before the first backup, bytes. */
const DISKS = [
  { id: 'virtio0', size: 1024 * MiB, text: 128 * MiB, random: 96 * MiB },
  { id: 'virtio1', size: 512 * MiB, text: 48 * MiB, random: 48 * MiB },
]

/** A small reproducible generator (mulberry32): the demo's choices depend on the seed alone. */
function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** `entry` is the CLI's file, which starts the platform as a process of its own. Returns the exit code. */
export async function runDemo(argv: readonly string[], entry: string): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      keep: { type: 'boolean', default: false },
      seed: { type: 'string', default: '1' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const closer = new Closer()
  const stop = (): void => {
    void closer.close().finally(() => process.exit(130))
  }
  // Stays in place: the terminal, npm and npx may each send the same Ctrl-C.
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  try {
    const identical = await story(Number(values.seed) || 1, values.keep, entry, closer)
    if (values.keep && identical) await new Promise(() => {})
    return identical ? 0 : 1
  } finally {
    await closer.close()
  }
}

async function story(seed: number, keep: boolean, entry: string, closer: Closer): Promise<boolean> {
  const startedAt = Date.now()
  const folder = await mkdtemp(join(tmpdir(), 'varve-demo-'))
  closer.add('folder', () => rm(folder, { recursive: true, force: true }))

  step(1, 'Start: a reference platform, and Varve with an embedded database, queue and a directory as repository')
  const platform = await startPlatform(entry, join(folder, 'platform'))
  closer.add('platform', () => platform.stop())
  const log = createLogger('standalone', 'warn', join(folder, 'varve.log'))
  const varve = await startStandalone({ home: join(folder, 'varve'), port: 0, log })
  closer.add('varve', () => varve.close())
  const api = new ApiClient(varve.apiUrl, varve.token)
  fact(
    `platform ${platform.url} ${dim(`(pid ${platform.pid})`)}, Varve ${varve.apiUrl} ${dim(`in ${formatDuration(Date.now() - startedAt)}`)}`,
  )

  step(2, 'A VM with two disks, and a guest that fills them')
  const credentials = { username: platform.username, password: platform.password }
  const driver = await openPlatform({ id: 'demo', kind: 'scp', url: platform.url, credentials }, { log })
  closer.add('driver', () => driver.close())
  const vmId = await driver.createVm(
    {
      name: 'web-1',
      os_option: { distribution_name: 'Debian 12' },
      hardware_option: {
        cpu: { sockets: 1, cores: 2 },
        memory: { size_gb: 2 },
        disks: DISKS.map(disk => ({
          device_id: disk.id,
          disk_type: 'VIRTUALDISK',
          adapter_type: 'VIRTIO',
          format_type: 'raw',
          size_gb: disk.size / (1024 * MiB),
          size_bytes: disk.size,
        })),
        network_adapters: [],
      },
    },
    'web-1',
    `demo-${seed}`,
  )
  await driver.power(vmId, 'on')
  const random = generator(seed)
  const openDisk = async (vm: string, diskId: string): Promise<NbdClient> => {
    const client = await connectNbd({ path: platform.guestSocket, exportName: `${vm}/${diskId}` })
    closer.add(`${vm}/${diskId}`, () => client.close())
    return client
  }
  const disks: GuestDisk[] = []
  for (const disk of DISKS) disks.push(new GuestDisk(disk.id, await openDisk(vmId, disk.id)))
  let sequence = 0
  const nextWrite = (): number => {
    sequence += 1
    return sequence
  }
  const filling = Date.now()
  const toFill = DISKS.reduce((sum, disk) => sum + disk.text + disk.random, 0)
  let filled = 0
  for (const [index, spec] of DISKS.entries()) {
    const disk = disks[index]!
    // Two areas with a hole between, as file systems leave them.
    const areas = [
      { first: 0, count: spec.text / PIECE, kind: 'text' as const },
      { first: Math.floor(disk.pieces * 0.55), count: spec.random / PIECE, kind: 'random' as const },
    ]
    for (const { first, count, kind } of areas) {
      for (let at = 0; at < count; at += 16) {
        const batch = Array.from({ length: Math.min(16, count - at) }, (_, i) => disk.write(first + at + i, kind, nextWrite()))
        await Promise.all(batch)
        filled += batch.length * PIECE
        progressLine('guest writes', filled, toFill, filling)
      }
    }
    await disk.flush()
  }
  clearLine()
  fact(
    `guest wrote ${formatBytes(filled)} to ${DISKS.map(d => `${d.id} (${formatBytes(d.size)})`).join(' and ')} in ${formatDuration(Date.now() - filling)}`,
  )

  await api.post('/v1/platforms', { name: 'lab', kind: 'scp', url: platform.url, credentials })
  const vm = (await waitFor(async () => (await api.get<{ items: Vm[] }>('/v1/vms')).items.find(v => v.platformVmId === vmId), 20_000))!

  step(3, 'Full backup (t0)')
  const t0 = await backup(api, vm.id)
  await showPoint(varve.repositoryUrl, t0, null)

  step(4, 'The guest changes 1 %, then an incremental (t1)')
  const total = disks.reduce((sum, disk) => sum + disk.pieces, 0)
  const changes = Math.round(total * 0.01)
  const rewrite = async (): Promise<void> => {
    const disk = disks[random() < 0.67 ? 0 : 1]!
    const pieces = disk.written
    const cluster = Math.floor(random() * 8)
    const piece =
      random() < 0.9 ? pieces[Math.floor(((cluster + random() * 0.15) / 8) * pieces.length)]! : Math.floor(random() * disk.pieces)
    await disk.write(piece, random() < 0.5 ? 'text' : 'random', nextWrite())
  }
  for (let i = 0; i < changes; i += 1) await rewrite()
  for (const disk of disks) await disk.flush()
  fact(`guest rewrote ${changes} pieces of 64 KiB: ${formatBytes(changes * PIECE)}`)
  const t1 = await backup(api, vm.id)
  await showPoint(varve.repositoryUrl, t1, t0.restorePointId)

  step(5, 'The guest goes on writing while a third backup runs (t2)')
  let writing = true
  const writer = (async () => {
    while (writing) await rewrite()
    for (const disk of disks) await disk.flush()
  })()
  const before = sequence
  const t2 = await backup(api, vm.id)
  writing = false
  await writer
  fact(`the guest wrote ${sequence - before} pieces meanwhile, none of them had to wait for the backup`)
  await showPoint(varve.repositoryUrl, t2, t1.restorePointId)
  const points = (await api.get<{ items: RestorePoint[] }>(`/v1/vms/${vm.id}/points`)).items
  console.log(`\n${drawChain(points)}`)

  step(6, 'Disaster: the VM is deleted from the platform')
  await driver.power(vmId, 'off')
  await driver.deleteVm(vmId)
  fact(red('web-1 is gone'))

  step(7, 'Restore t2 to a new VM')
  const restoring = Date.now()
  const restore = await followed(
    api,
    await api.post<Run>(`/v1/restore-points/${t2.restorePointId}/restores`, { target: 'new-vm', name: 'web-1-restored', powerOn: true }),
    'restoring',
  )
  fact(
    `wrote ${formatBytes(restore.totals.written)} from ${formatBytes(restore.totals.read)} of packs in ${formatDuration(Date.now() - restoring)}; holes stayed holes`,
  )

  step(8, 'Compare every byte of the restored disks with what the guest had written')
  const comparing = Date.now()
  const size = disks.reduce((sum, disk) => sum + disk.size, 0)
  const pairs = []
  for (const disk of disks) pairs.push({ disk, restored: await openDisk(restore.targetPlatformVmId!, disk.id) })
  const result = await compareDisks(pairs, bytes => progressLine('comparing', bytes, size, comparing))
  clearLine()
  const seconds = formatDuration(Date.now() - startedAt)
  for (const difference of result.differences.slice(0, 10))
    console.log(red(`   ${difference.diskId} at ${difference.offset}: ${difference.why}`))
  if (keep) howToGoOn(varve, platform)
  if (result.differences.length > 0) {
    console.log(
      `\n${red(bold('different'))}: ${result.differences.length} of ${size / PIECE} pieces of 64 KiB are not what the guest wrote`,
    )
    return false
  }
  const moment = result.to === Number.POSITIVE_INFINITY ? `after write ${result.from}` : `between writes ${result.from} and ${result.to}`
  console.log(
    `\nbyte-identical: ${formatBytes(result.bytes)} on ${disks.length} disks compared, both as they were ${moment} of ${sequence} ${dim(`(${seconds} in all)`)}`,
  )
  return true
}

async function backup(api: ApiClient, vmId: string): Promise<Run> {
  const started = Date.now()
  const run = await followed(api, await api.post<Run>(`/v1/vms/${vmId}/backups`), 'reading')
  const { planned, read, written, unchanged, zero } = run.totals
  fact(
    `CBT named ${formatBytes(planned)}; read ${formatBytes(read)}, stored ${formatBytes(written)} (zero ${formatBytes(zero)}, equal ${formatBytes(unchanged)}) in ${formatDuration(Date.now() - started)}`,
  )
  for (const image of run.images) fact(dim(`${image.diskId}: ${image.kind}${image.reason === null ? '' : `, because ${image.reason}`}`))
  return run
}

async function showPoint(repositoryUrl: string, run: Run, beforeId: string | null): Promise<void> {
  for (const { diskId, picture, blocks } of await changedStrips(repositoryUrl, run.restorePointId!, beforeId)) {
    fact(`${diskId.padEnd(8)} │${picture}│ ${blocks} blocks ${beforeId === null ? 'stored' : 'differ from the point before'}`)
  }
}

/** Wait for a run to end, with a bar; a failed one throws its reason. */
async function followed(api: ApiClient, run: Run, label: string): Promise<Run> {
  const started = Date.now()
  const ended = await waitFor(async () => {
    const now = await api.get<Run>(`/v1/runs/${run.id}`)
    progressLine(label, run.kind === 'backup' ? now.totals.read : now.totals.written, Math.max(now.totals.planned, 1), started)
    return now.endedAt === null ? undefined : now
  }, 300_000)
  clearLine()
  if (ended.state !== 'succeeded') throw new Error(`the ${run.kind} ended ${ended.state}: ${ended.reason} ${ended.message}`)
  return ended
}

async function waitFor<Value>(look: () => Promise<Value | undefined>, ms: number): Promise<Value> {
  const deadline = Date.now() + ms
  for (;;) {
    const value = await look()
    if (value !== undefined) return value
    if (Date.now() > deadline) throw new Error(`nothing came of it in ${formatDuration(ms)}`)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

function howToGoOn(varve: { apiUrl: string; token: string; home: string }, platform: { url: string; guestSocket: string }): void {
  console.log(`
${bold('Everything is still running.')} Stop it with Ctrl-C; then all of it is removed. To go on by hand, in another terminal:

   ${bold('dashboard')}  ${varve.apiUrl}/#token=${varve.token}
   ${bold('API')}        ${varve.apiUrl}/docs   (Authorization: Bearer ${varve.token})
   ${bold('CLI')}        export VARVE_HOME=${varve.home}
              npx varve vm list
              npx varve backup web-1-restored
              npx varve points
   ${bold('guest')}      nbdinfo --list "nbd+unix://?socket=${platform.guestSocket}"
   ${bold('platform')}   ${platform.url}`)
}
