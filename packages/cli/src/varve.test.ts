import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

/*
 * The real command as a process, against a real api process whose catalog is in memory (services/api/src/testing): its runs live by
 * themselves, and the names of VMs say how they end.
 */

const BIN = fileURLToPath(new URL('../bin/varve.mjs', import.meta.url))
const API = fileURLToPath(new URL('../../../services/api/dist/testing/main.js', import.meta.url))
const UNKNOWN = '0f8b6c1e-7d7c-4f4e-9a55-1f2f0c9b8a11'

let server: ChildProcess | undefined
let folder: string
let access: { apiUrl: string; token: string }

interface Answer {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-cli-'))
  for (const file of [API, fileURLToPath(new URL('../dist/main.js', import.meta.url))]) {
    if (!existsSync(file)) throw new Error(`${file} is missing; build first`)
  }
  server = spawn(process.execPath, [API, '0', '30', '4'], { stdio: ['ignore', 'pipe', 'inherit'] })
  access = await new Promise((resolve, reject) => {
    server?.stdout?.once('data', line => resolve(JSON.parse(String(line))))
    server?.once('exit', code => reject(new Error(`the api ended with ${code}`)))
  })
  const added = await varve('platform', 'add', 'lab', '--url', 'http://scp.test', '--user', 'u', '--password', 'p')
  expect(added).toMatchObject({ code: 0, out: expect.stringMatching(/^lab added/) })
})
afterAll(async () => {
  server?.kill()
  await rm(folder, { recursive: true, force: true })
})

function start(args: readonly string[], env: Record<string, string> = {}, cwd = folder): ChildProcess {
  const base = { PATH: process.env.PATH ?? '', VARVE_API_URL: access.apiUrl, VARVE_API_TOKEN: access.token }
  return spawn(process.execPath, [BIN, ...args], { cwd, env: { ...base, ...env } })
}

function end(child: ChildProcess): Promise<Answer> {
  let out = ''
  let err = ''
  child.stdout?.on('data', part => {
    out += part
  })
  child.stderr?.on('data', part => {
    err += part
  })
  return new Promise(resolve => child.once('close', code => resolve({ code, out, err })))
}

function varve(...args: string[]): Promise<Answer> {
  return end(start(args))
}

async function json(...args: string[]) {
  const { code, out, err } = await varve(...args, '--json')
  expect([code, err]).toEqual([0, ''])
  return JSON.parse(out)
}

test('limits of a platform are shown, changed one by one, and refused when they make no sense', async () => {
  expect((await varve('platform', 'list')).out).toMatch(/32 runs, 16 a host, disks 16 a host and 10 a datastore +-$/m)
  expect((await varve('platform', 'limits', 'lab')).out).toMatch(/^bytes per second +none$/m)
  const changed = await json('platform', 'limits', 'lab', '--runs', '8', '--bytes-per-second', '50000000')
  expect(changed.limits).toMatchObject({ runs: 8, runsPerHost: 16, bytesPerSecond: 50_000_000 })
  expect((await json('platform', 'limits', 'lab', '--bytes-per-second', 'none')).limits).toMatchObject({ runs: 8, bytesPerSecond: null })
  expect(await varve('platform', 'limits', 'lab', '--runs', '0')).toMatchObject({ code: 2, err: expect.stringMatching(/^USAGE/) })
  expect(await varve('platform', 'limits', 'lab', '--bytes-per-second', '7')).toMatchObject({
    code: 2,
    err: expect.stringMatching(/^BAD_REQUEST/),
  })
})

test('a run is paused, shown as such, resumed, cancelled', async () => {
  const [{ id }] = await json('backup', 'endless-1', '--no-wait', '--priority', 'high')
  expect(await varve('pause', id)).toMatchObject({ code: 0, out: expect.stringMatching(/^endless-1: backup is paused/) })
  expect((await varve('runs', id)).out).toMatch(/\(paused\)/)
  expect((await varve('runs', '--active')).out).toMatch(/endless-1 .*\(paused\)/)
  expect(await json('resume', id)).toMatchObject({ paused: false, priority: 'high' })
  await varve('cancel', id)
  expect(await varve('pause', id)).toMatchObject({ code: 1, err: expect.stringMatching(/^RUN_ENDED/) })
})

test('lists of VMs and platforms are aligned for people and JSON for programs', async () => {
  const [{ out }, vms] = await Promise.all([varve('vm', 'list'), json('vm', 'list')])
  const [head = '', ...lines] = out.split('\n')
  const first = lines.find(line => line.startsWith('files-1')) ?? ''
  expect(head).toMatch(/^VM +ID +POWER +DISKS +SIZE +POINTS +LAST POINT +REMARK$/)
  expect(first.indexOf('on')).toBe(head.indexOf('POWER'))
  expect(out).toMatch(/turbo-1 .* excluded: turbo/)
  expect(vms.map((vm: { name: string }) => vm.name)).toContain('files-1')
  expect((await varve('vm', 'list', '--sync')).out).toBe(out)
  expect((await varve('platform', 'list')).out).toMatch(/^PLATFORM .*\nlab .*http:\/\/scp\.test/)
})

test('a backup is followed to its end, then listed, restored and shown; names, ids and beginnings of ids all do', async () => {
  const backup = await varve('backup', 'files-1', 'database-1')
  expect(backup.code).toBe(0)
  expect(backup.out).toMatch(/^files-1: backup succeeded in /)
  expect(backup.out).toMatch(/virtio0: full \(first\) The first backup of this disk\./)
  // Not a terminal: plain lines on stderr.
  expect(backup.err).toMatch(/^files-1: copying/m)

  const [point] = await json('points', 'files-1')
  expect((await varve('points')).out).toMatch(new RegExp(`^${point.id.slice(0, 8)} +files-1 .*full \\(first\\)`, 'm'))
  const restored = await varve('restore', point.id.slice(0, 8), '--name', 'again')
  expect(restored).toMatchObject({ code: 0, out: expect.stringMatching(/restore succeeded[\s\S]*VM vm-restored on the platform/) })

  const runs = await json('runs', '--vm', 'files-1')
  expect(runs.map(({ kind, state }: { kind: string; state: string }) => [kind, state])).toEqual([
    ['restore', 'succeeded'],
    ['backup', 'succeeded'],
  ])
  expect((await varve('runs', runs[1].id.slice(0, 8))).out).toMatch(/backup succeeded/)
  expect((await varve('vm', 'show', runs[0].vmId)).out).toMatch(/files-1 .*\n.*1 restore points/)
})

test('a dry run starts nothing and tells what it would read, store, take and cost', async () => {
  const before = (await json('runs', '--vm', 'files-1')).length
  const unpriced = await varve('backup', 'files-1', '--dry-run')
  expect(unpriced.code).toBe(0)
  expect(unpriced.out).toMatch(/^files-1: a backup now would\n {2}DISK +KIND +CHANGED +READ +STORE +STORE IS\n {2}virtio0 +incremental/)
  expect(unpriced.out).toMatch(
    /read .*, exactly, if nothing is written meanwhile\n {2}store about .* in 25 PUTs, with 15 GETs\n {2}take about 42\.5 s \(from 2 past runs of this VM\)/,
  )
  expect(unpriced.out).toMatch(/cost what nobody knows: set prices with varve repository prices$/m)
  expect(await varve('repository', 'prices')).toMatchObject({ code: 0, out: 'No prices are set.\n' })
  expect(await varve('repository', 'prices', '--per-gib-month', '1')).toMatchObject({
    code: 2,
    err: expect.stringMatching(/^USAGE: .*--currency/),
  })
  await json('repository', 'prices', '--currency', 'EUR', '--per-thousand-puts', '5')
  expect(await json('repository', 'prices', '--per-gib-read', '0.5')).toEqual({
    prices: { currency: 'EUR', perGibMonth: 0, perThousandPuts: 5, perThousandGets: 0, perGibRead: 0.5 },
  })
  expect((await varve('backup', 'files-1', '--dry-run')).out).toMatch(/cost 0\.1250 EUR$/m)
  const restore = await varve('restore', 'files-1', '--to', 'original', '--differential', '--dry-run')
  expect(restore).toMatchObject({ code: 0, out: expect.stringMatching(/^files-1: a restore now would[\s\S]* from the repository/) })
  const [preview] = await json('restore', 'files-1', '--dry-run')
  expect(preview).toMatchObject({ kind: 'preview', prediction: { of: 'restore', price: { currency: 'EUR' } }, actual: null })
  expect((await varve('runs', preview.id)).out).toMatch(/a restore now would/)
  expect((await varve('runs')).out).toMatch(/preview \(restore\)/)
  expect(await varve('repository', 'prices', '--none')).toMatchObject({ code: 0, out: 'No prices are set.\n' })
  expect(await varve('backup', 'occupied-1', '--dry-run')).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^occupied-1: no preview: LEASE_OCCUPIED/),
  })
  const now = await json('runs', '--vm', 'files-1')
  expect(now.filter(({ kind }: { kind: string }) => kind !== 'preview')).toHaveLength(before)
})

test('with --json each change is a line and the last is the result', async () => {
  const { out, code } = await varve('backup', 'database-1', '--full', '--json')
  const lines = out
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
  expect(code).toBe(0)
  expect(lines.length).toBeGreaterThan(2)
  expect(lines[0]).toMatchObject({ type: 'progress', run: { kind: 'backup', endedAt: null } })
  expect(lines.at(-1)).toMatchObject({ type: 'result', run: { state: 'succeeded', images: [{ reason: 'requested' }] } })
})

test('exit codes: 1 failed with its reason, 5 damage', async () => {
  const failed = await varve('backup', 'occupied-1')
  expect(failed.code).toBe(1)
  expect(failed.err).toMatch(/^LEASE_OCCUPIED: the platform says.*\n {2}\w.+/m)
  expect((await varve('backup', 'damaged-1')).code).toBe(0)
  const damaged = await varve('restore', 'damaged-1', '--on-damage', 'continue')
  expect([damaged.code, damaged.out]).toEqual([5, expect.stringMatching(/note: virtio0: .*left as a hole/)])
})

test('--no-wait, runs --follow and cancel; an interrupted follower leaves the run alone', async () => {
  const [started] = await json('backup', 'endless-1', '--no-wait')
  expect(await varve('backup', 'endless-1')).toMatchObject({ code: 1, err: expect.stringMatching(/^CONFLICT: /) })
  const follower = start(['runs', started.id, '--follow'])
  const answer = end(follower)
  follower.stderr?.on('data', part => String(part).includes('copying') && follower.kill('SIGINT'))
  expect(await answer).toMatchObject({ code: 130, err: expect.stringMatching(/The run goes on\. .*varve cancel/) })
  expect((await json('runs', '--active')).map(({ id }: { id: string }) => id)).toEqual([started.id])

  const other = end(start(['runs', started.id, '--follow']))
  expect((await varve('cancel', started.id.slice(0, 8))).code).toBe(0)
  expect(await other).toMatchObject({ code: 1, out: expect.stringMatching(/endless-1: backup cancelled/) })
})

test.each([
  [2, 'USAGE', ['bakup']],
  [2, 'USAGE', ['restore', 'files-1', '--differential']],
  [2, 'USAGE', ['platform', 'add', 'x', '--url', 'http://a', '--user', 'u']],
  [3, 'NOT_FOUND', ['backup', 'files-1', 'nothing']],
  [3, 'NOT_FOUND', ['runs', UNKNOWN]],
  [3, 'NOT_FOUND', ['restore', 'nothing']],
  [1, 'PLATFORM_AUTH_FAILED', ['platform', 'add', 'x', '--url', 'http://a', '--user', 'u', '--password', 'wrong']],
  [1, 'PLATFORM_UNREACHABLE', ['platform', 'add', 'x', '--url', 'http://nowhere.test', '--user', 'u', '--password', 'p']],
] as const)('exit code %i and %s: varve %j', async (code, name, args) => {
  const answer = await varve(...args)
  expect(answer).toMatchObject({ code, out: '', err: expect.stringMatching(new RegExp(`^${name}: .+`)) })
})

test('no access is exit code 4: wrong token, nobody there, somebody else there, no token at all', async () => {
  const stranger = createServer((_request, response) => response.end('<html>')).listen(0, '127.0.0.1')
  await new Promise(resolve => stranger.once('listening', resolve))
  const other = `http://127.0.0.1:${(stranger.address() as AddressInfo).port}`
  const cases: [string, Record<string, string>][] = [
    ['UNAUTHORIZED', { VARVE_API_TOKEN: 'wrong' }],
    ['API_UNREACHABLE', { VARVE_API_URL: 'http://127.0.0.1:1' }],
    ['API_ANSWER_INVALID', { VARVE_API_URL: other }],
    ['NO_TOKEN', { VARVE_API_TOKEN: '' }],
  ]
  for (const [name, env] of cases) {
    const answer = await end(start(['vm', 'list'], env))
    expect([answer.code, answer.err.split(':')[0]]).toEqual([4, name])
  }
  const told = await end(start(['vm', 'list', '--json'], { VARVE_API_TOKEN: 'wrong' }))
  expect(JSON.parse(told.err)).toMatchObject({ error: { code: 'UNAUTHORIZED', retryable: false } })
  stranger.close()
})

test('a check tells what it finds and what that means; 6 as long as something is broken or left', async () => {
  const checked = await varve('check', '--sweep')
  expect(checked.code).toBe(6)
  expect(checked.out).toMatch(
    /^broken pack-missing: packs\/aa\/aa: .*\n {2}Restore points name blocks[\s\S]*\nswept leak snapshot-of-ended-run/,
  )
  expect(checked.out).toMatch(/1 broken, 1 leaks \(1 swept\), 0 notes\. Looked at 1 VMs/)
  const found = await varve('leaks', '--json')
  expect(found.code).toBe(6)
  expect(JSON.parse(found.out)).toMatchObject({ scope: 'leaks', findings: [{ code: 'snapshot-of-ended-run', swept: false }] })
  expect(await varve('leaks', '--last')).toMatchObject({ code: 6, out: expect.stringContaining('snapshot-7') })
  expect(await varve('leaks', '--sweep')).toMatchObject({ code: 0, out: expect.stringMatching(/^swept leak/) })
  expect(await varve('leaks', '--last')).toMatchObject({ code: 0, out: expect.stringMatching(/^0 at /) })
})

test('the state file of a standalone is found in a parent folder or by VARVE_HOME; its token goes nowhere else', async () => {
  const below = join(folder, 'a', 'b')
  await mkdir(below, { recursive: true })
  await mkdir(join(folder, 'a', '.varve'), { recursive: true })
  await writeFile(join(folder, 'a', '.varve', 'standalone.json'), JSON.stringify({ ...access, pid: 1 }))
  const unset = { VARVE_API_URL: '', VARVE_API_TOKEN: '' }
  expect((await end(start(['vm', 'list'], unset, below))).code).toBe(0)
  expect((await end(start(['vm', 'list'], { ...unset, VARVE_HOME: join(folder, 'a', '.varve') }))).code).toBe(0)
  const elsewhere = await end(start(['vm', 'list'], { ...unset, VARVE_API_URL: 'http://127.0.0.1:1' }, below))
  expect([elsewhere.code, elsewhere.err]).toEqual([4, expect.stringMatching(/^NO_TOKEN/)])
  await writeFile(join(folder, 'a', '.varve', 'standalone.json'), '{')
  expect((await end(start(['vm', 'list'], unset, below))).err).toMatch(/^STATE_FILE_INVALID/)
})

test('a secret can come from standard input', async () => {
  const child = start(['platform', 'add', 'by-stdin', '--url', 'http://scp2.test', '--user', 'u', '--secret-stdin'])
  child.stdin?.end('wrong\n')
  expect(await end(child)).toMatchObject({ code: 1, err: expect.stringMatching(/^PLATFORM_AUTH_FAILED/) })
})

test('--help needs no server, and the exit code is 0', async () => {
  const answer = await end(start(['backup', '--help'], { VARVE_API_URL: 'http://127.0.0.1:1' }))
  expect([answer.code, answer.out]).toEqual([0, expect.stringMatching(/varve backup [\s\S]*Exit codes:/)])
})
