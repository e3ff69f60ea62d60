import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Closer, GiB, TiB } from '@varve/runtime'
import { ROOT } from '../support/system.ts'
import { findTool, runTool } from '../support/tools.ts'
import { type BenchDisk, changes, makeBenchDisk } from './bench-disk.ts'
import { type Measured, measureCommand, measureProcesses, median, warm } from './measure.ts'
import { type BenchMinio, startBenchMinio } from './minio-server.ts'
import { type OurSystem, startBenchPlatform, startOurSystem } from './our-system.ts'
import { findPeers, type Peer } from './peers.ts'
import { atLeast, atMost, type TargetRow } from './targets.ts'

/**
 * `npm run bench`: Varve beside its peers in one run, on the same disk, in memory.
 *
 *     npm run bench -- --quick          3 rounds; under 5 minutes
 *     npm run bench -- --json           one JSON row a target: {name, target, measured, unit, met}
 *     npm run bench -- --check          exit code 1 when a target is missed
 *     npm run bench -- --only nbd,full,incremental,restore,bare --size-gib 4 --rounds 5 --peers restic,borg,benji
 *
 * Rounds are interleaved: each subject runs once a round. Figures are medians; compare within a run only.
 */
const { values } = parseArgs({
  options: {
    folder: { type: 'string', default: existsSync('/dev/shm') ? '/dev/shm' : '/tmp' },
    'size-gib': { type: 'string', default: '4' },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: 'nbd,bare,full,incremental,restore' },
    peers: { type: 'string' },
    'warm-gib': { type: 'string', default: '4' },
    json: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
  },
})
const rounds = Number(values.rounds ?? (values.quick ? 3 : 5))
const wanted = new Set(values.only.split(','))
const samples = new Map<string, Measured[]>()

function note(line: string): void {
  process.stderr.write(`${line}\n`)
}

async function sample(name: string, run: () => Promise<Measured>): Promise<void> {
  await warm(Number(values['warm-gib']))
  const measured = await run()
  samples.set(name, [...(samples.get(name) ?? []), measured])
  note(
    `${name.padEnd(44)} ${measured.wall.toFixed(2)} s, ${measured.cpu.toFixed(2)} + ${measured.serverCpu.toFixed(2)} CPU s, other ${measured.otherCpu.toFixed(1)}`,
  )
}

const mid = (name: string, figure: keyof Measured & string = 'wall'): number | undefined => {
  const found = samples.get(name)
  return found === undefined ? undefined : median(found.map(one => one[figure] ?? 0))
}

const NODE_SCRIPT = (name: string): string[] => [process.execPath, join(import.meta.dirname, `${name}.js`)]

const command = async (...call: Parameters<typeof measureCommand>): Promise<Measured> => (await measureCommand(...call)).measured

interface Bench {
  readonly folder: string
  readonly disk: BenchDisk
  readonly minio: BenchMinio
  readonly peers: readonly Peer[]
  readonly ours: { readonly s3: OurSystem; readonly directory: OurSystem } | undefined
  readonly s3Env: Readonly<Record<string, string>>
}

/** Each is one round. */
async function nbdRound({ folder, disk }: Bench): Promise<void> {
  const qemuNbd = findTool('qemu-nbd')
  if (qemuNbd === undefined) return
  const socket = join(folder, 'nbd.sock')
  const server = spawn(qemuNbd, ['--read-only', '--format=raw', '--persistent', '--shared=16', `--socket=${socket}`, disk.path], {
    stdio: 'ignore',
  })
  const ended = new Promise(resolve => server.once('exit', resolve))
  try {
    while (!existsSync(socket)) await sleep(20)
    const servers = [server.pid!]
    if (findTool('nbdcopy'))
      await sample('nbd read: nbdcopy, 1 connection', () =>
        command(['nbdcopy', '--connections=1', `nbd+unix:///?socket=${socket}`, 'null:'], { servers }),
      )
    await sample('nbd read: varve', () => command([...NODE_SCRIPT('read-nbd'), socket], { servers }))
    await sample('nbd read: varve, a new buffer a read', () => command([...NODE_SCRIPT('read-nbd'), socket, 'fresh'], { servers }))
  } finally {
    server.kill('SIGTERM')
    await ended
  }
}

async function bareRound({ disk, minio, s3Env }: Bench): Promise<void> {
  const options = { env: s3Env, servers: [minio.pid] }
  for (const what of ['put', 'get']) {
    await sample(`bare S3 ${what}`, () => command([...NODE_SCRIPT('bare-s3'), what, 's3://bare/x', String(disk.allocated)], options))
  }
}

async function fullRound(bench: Bench, round: number): Promise<void> {
  const { peers, ours } = bench
  for (const target of ['s3', 'directory'] as const) {
    if (ours !== undefined) await sample(`full to ${target}: varve`, () => ourBackup(bench, ours[target], target, { full: true }))
    for (const peer of peers.filter(one => one.target === target)) {
      await sample(`full to ${target}: ${peer.name}`, async () => {
        const before = await usage(bench, target)
        const measured = await peer.full(round)
        return { ...measured, ...(await since(bench, target, before)) }
      })
    }
  }
}

async function incrementalRound(bench: Bench, round: number): Promise<void> {
  const { ours, disk } = bench
  if (ours === undefined) return
  const guest = await ours.s3.guest()
  let changed = 0
  for (const { offset, bytes } of changes(disk.size, `round ${round}`)) {
    await guest.write(offset, bytes)
    changed += bytes.length
  }
  await guest.flush()
  await guest.close()
  for (const target of ['s3', 'directory'] as const) {
    await sample(`incremental to ${target}: varve`, async () => {
      const measured = await ourBackup(bench, ours[target], target, {})
      return { ...measured, readShare: (measured.read ?? 0) / changed, storedShare: (measured.stored ?? 0) / changed }
    })
  }
}

async function ourBackup(bench: Bench, system: OurSystem, target: 's3' | 'directory', options: { full?: boolean }): Promise<Measured> {
  const before = await usage(bench, target)
  const servers = [system.platform.process.pid!, ...(target === 's3' ? [bench.minio.pid] : [])]
  const { measured, result: run } = await measureProcesses({ own: [system.varvePid], servers }, () => system.backup(options))
  const created = Date.parse(run.createdAt)
  const times = { wall: (Date.parse(run.endedAt!) - created) / 1000 }
  return { ...measured, ...times, ...(await since(bench, target, before)), read: run.totals.read, stored: run.totals.written }
}

async function restoreRound(bench: Bench, round: number): Promise<void> {
  const { folder, minio, peers, ours, s3Env } = bench
  for (const target of ['s3', 'directory'] as const) {
    if (ours !== undefined) {
      const output = join(folder, 'extracted.img')
      const url = target === 's3' ? 's3://varve/bench' : `file://${join(folder, 'repository')}`
      const args = [
        process.execPath,
        join(ROOT, 'packages/cli/bin/varve.mjs'),
        'extract',
        '--repository',
        url,
        '--vm',
        'bench',
        '-o',
        output,
        '--json',
      ]
      await sample(`restore from ${target} to a file: varve extract`, async () => {
        const { measured, output: said } = await measureCommand(args, { env: s3Env, servers: target === 's3' ? [minio.pid] : [] })
        const { gets, packs } = JSON.parse(said) as { gets: number; packs: number }
        return { ...measured, gets, packs }
      })
      if (round === 1) await compareWithGuest(output, ours[target])
      await rm(output)
      if (target === 's3') {
        const system = ours.s3
        const { restorePointId } = await system.backup()
        const processes = { own: [system.varvePid], servers: [system.platform.process.pid!, minio.pid] }
        let made: string | null = null
        await sample('restore from s3 to a new VM: varve', async () => {
          const { measured, result } = await measureProcesses(processes, () => system.restore(restorePointId!, `restored-${round}`))
          made = result.targetPlatformVmId
          return { ...measured, wall: (Date.parse(result.endedAt!) - Date.parse(result.createdAt)) / 1000 }
        })
        if (made !== null) await system.removeVm(made)
      }
    }
    for (const peer of peers.filter(one => one.target === target))
      await sample(`restore from ${target} to a file: ${peer.name}`, () => peer.restore(round))
  }
}

/** What came out is what the guest has: a fast restore of something else is worth nothing. */
async function compareWithGuest(output: string, system: OurSystem): Promise<void> {
  await runTool('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', output, system.guestUri])
}

/** Objects and requests of a store so far. */
async function usage({ minio, folder }: Bench, target: 's3' | 'directory'): Promise<Record<string, number>> {
  if (target === 's3') return minio.requests()
  const files = await readdir(join(folder, 'repository'), { recursive: true, withFileTypes: true }).catch(() => [])
  return { putobject: files.filter(entry => entry.isFile()).length }
}

async function since(bench: Bench, target: 's3' | 'directory', before: Record<string, number>): Promise<Record<string, number>> {
  const after = await usage(bench, target)
  const delta = (pattern: RegExp): number =>
    Object.entries(after).reduce((sum, [name, count]) => sum + (pattern.test(name) ? count - (before[name] ?? 0) : 0), 0)
  return {
    puts: delta(/^putobject$|multipart|putobjectpart/),
    gets: delta(/^getobject$/),
    lists: delta(/^listobjects/),
    heads: delta(/^headobject$/),
  }
}

function targets(disk: BenchDisk): TargetRow[] {
  const rows: TargetRow[] = []
  const ratio = (name: string, ours: string, theirs: string[], limit: number): void => {
    const mine = mid(ours)
    const best = Math.min(...theirs.map(peer => mid(peer) ?? Number.POSITIVE_INFINITY))
    if (mine !== undefined && Number.isFinite(best)) rows.push(atLeast(name, best / mine, limit, 'x'))
  }
  const most = (name: string, subject: string, figure: string, limit: number, unit: string, scale = 1): void => {
    const value = mid(subject, figure)
    if (value !== undefined) rows.push(atMost(name, value * scale, limit, unit))
  }
  ratio('NBD read against nbdcopy', 'nbd read: varve', ['nbd read: nbdcopy, 1 connection'], 0.6)
  most('NBD read, processor time', 'nbd read: varve', 'cpu', 0.6, 'CPU s/GiB', GiB / disk.allocated)
  ratio('full to S3 against the best peer', 'full to s3: varve', ['full to s3: restic', 'full to s3: benji'], 2)
  ratio('full to a directory against borg', 'full to directory: varve', ['full to directory: borg'], 1)
  most('incremental to S3', 'incremental to s3: varve', 'wall', 1.3, 's')
  most('incremental: read for each changed byte', 'incremental to s3: varve', 'readShare', 4, 'x')
  most('incremental: stored for each changed byte', 'incremental to s3: varve', 'storedShare', 4, 'x')
  ratio('restore from S3 to a file against restic', 'restore from s3 to a file: varve extract', ['restore from s3 to a file: restic'], 1.5)
  ratio('restore from S3 to NBD against restic to a file', 'restore from s3 to a new VM: varve', ['restore from s3 to a file: restic'], 1)
  const stored = mid('full to s3: varve', 'stored')
  const puts = mid('full to s3: varve', 'puts')
  if (stored !== undefined && puts !== undefined) rows.push(atMost('objects for each TiB stored', (puts / stored) * TiB, 66_000, 'objects'))
  for (const figure of ['lists', 'heads']) most(`full to S3: ${figure}`, 'full to s3: varve', figure, 0, 'requests')
  most('memory of standalone during a full', 'full to s3: varve', 'peak', 300, 'MB', 1e-6)
  return rows
}

async function main(): Promise<void> {
  const closer = new Closer()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void closer.close().finally(() => process.exit(130)))
  try {
    const folder = await mkdtemp(join(values.folder, 'varve-bench-'))
    closer.add('folder', () => rm(folder, { recursive: true, force: true }))
    process.env.TMPDIR = folder
    const disk = await makeBenchDisk(folder, Number(values['size-gib']) * GiB)
    note(`disk ${disk.size / GiB} GiB, ${(disk.allocated / GiB).toFixed(2)} GiB allocated`)
    const minio = await startBenchMinio(folder, closer)
    if (typeof minio === 'string') throw new Error(minio)
    const { peers, skipped } = await findPeers(
      { folder, disk, minio },
      new Set((values.peers ?? (values.quick ? 'restic,borg' : 'restic,borg,benji')).split(',')),
    )
    for (const line of skipped) note(`skipped ${line}`)
    const s3Env = { VARVE_S3_ENDPOINT: minio.endpoint, VARVE_S3_ACCESS_KEY: minio.accessKey, VARVE_S3_SECRET_KEY: minio.secretKey }
    const bench: Bench = { folder, disk, minio, peers, s3Env, ours: await startOurs(folder, disk, minio, s3Env, closer) }
    for (let round = 1; round <= rounds; round++) {
      if (wanted.has('nbd')) await nbdRound(bench)
      if (wanted.has('bare')) await bareRound(bench)
      if (wanted.has('full')) await fullRound(bench, round)
      if (wanted.has('incremental')) await incrementalRound(bench, round)
      if (wanted.has('restore')) await restoreRound(bench, round)
    }
    report(disk)
  } finally {
    await closer.close()
  }
}

async function startOurs(
  folder: string,
  disk: BenchDisk,
  minio: BenchMinio,
  s3Env: Record<string, string>,
  closer: Closer,
): Promise<Bench['ours']> {
  if (!['full', 'incremental', 'restore'].some(name => wanted.has(name))) return undefined
  const { openStore } = await import('@varve/repository')
  const { endpoint, accessKey, secretKey } = minio
  await (await openStore('s3://varve/bench', { endpoint, accessKey, secretKey, createBucket: true })).close()
  const systems: OurSystem[] = []
  const { platform, platformVmId } = await startBenchPlatform(join(folder, 'hci'), disk.path, closer)
  for (const [name, repository] of [
    ['s3', 's3://varve/bench'],
    ['directory', `file://${join(folder, 'repository')}`],
  ] as const) {
    const profile = process.env.VARVE_BENCH_PROFILE
    const nodeArgs = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${join(profile, name)}`]
    const system = await startOurSystem({ folder: join(folder, `varve-${name}`), platform, platformVmId, repository, env: s3Env, nodeArgs })
    closer.add(`varve ${name}`, () => system.stop())
    systems.push(system)
  }
  return { s3: systems[0]!, directory: systems[1]! }
}

function report(disk: BenchDisk): void {
  const rows = targets(disk)
  if (values.json) for (const row of rows) console.log(JSON.stringify(row))
  else {
    console.log(
      `\nNode ${process.version}, ${availableParallelism()} cores, ${(totalmem() / GiB).toFixed(0)} GiB, ${rounds} rounds, medians\n`,
    )
    console.log('| subject | wall s (min-max) | CPU s | server CPU s | peak MB | puts | gets | stored MB |')
    console.log('|---|--:|--:|--:|--:|--:|--:|--:|')
    for (const [name, runs] of samples) {
      const walls = runs.map(({ wall }) => wall)
      const figure = (key: string, scale = 1, digits = 0): string => {
        const value = mid(name, key)
        return runs[0]?.[key] === undefined || value === undefined ? '' : (value * scale).toFixed(digits)
      }
      console.log(
        `| ${name} | ${median(walls).toFixed(2)} (${Math.min(...walls).toFixed(2)}-${Math.max(...walls).toFixed(2)}) | ${figure('cpu', 1, 2)} | ${figure('serverCpu', 1, 2)} | ` +
          `${figure('peak', 1e-6)} | ${figure('puts')} | ${figure('gets')} | ${figure('stored', 1e-6)} |`,
      )
    }
    console.log('\n| target | | measured | met |\n|---|---|--:|---|')
    for (const row of rows) console.log(`| ${row.name} | ${row.target} | ${row.measured} ${row.unit} | ${row.met ? 'yes' : '**no**'} |`)
  }
  if (values.check && rows.some(({ met }) => !met)) process.exitCode = 1
}

await main()
