import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PageRefs } from '@varve/block-map'
import { type Check, type Finding, type Run, restoredVmName } from '@varve/catalog-client'
import { startPostgres } from '@varve/postgres'
import { openRepository, openStore, packKey, type Repository, rootKey } from '@varve/repository'
import { startMinio } from '@varve/repository/testing'
import { Closer, MiB } from '@varve/runtime'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { exportHash, noise } from '../support/pattern.ts'
import { type System, startSystem, vmConfig } from '../support/system.ts'

/** One leak of each kind, made by hand on real servers: found, taken away when asked, and nothing else touched. */

type CheckWithFindings = Check & { readonly findings: readonly Finding[] }

const DISKS = [{ id: 'virtio0', size: 64 * MiB }]
const closer = new Closer()
let missing: string | undefined
let system: System
let repository: Repository
let sql: pg.Pool
let vmId: string
let platformVmId: string
let first: Run

beforeAll(async () => {
  const minio = await startMinio()
  if (typeof minio === 'string') {
    missing = minio
    return
  }
  closer.add('minio', () => minio.close())
  const folder = await mkdtemp(join(tmpdir(), 'varve-leaks-'))
  closer.add('folder', () => rm(folder, { recursive: true, force: true }))
  const postgres = await startPostgres({ dataDir: join(folder, 'postgres') })
  closer.add('postgres', () => postgres.close())
  const repositoryUrl = 's3://leaks/site-a'
  const standalone = {
    databaseUrl: postgres.url,
    repositoryUrl,
    storeSettings: { ...minio.settings, createBucket: true },
    maintenance: { everySeconds: 0, askMs: 50, unknownAgeSeconds: 0 },
  }
  system = await startSystem({ standalone })
  closer.add('system', () => system.close())
  const store = await openStore(repositoryUrl, minio.settings)
  closer.add('store', () => store.close())
  repository = await openRepository(store)
  sql = new pg.Pool({ connectionString: postgres.url, max: 1 })
  sql.on('error', () => {})
  closer.add('sql', () => sql.end())
  ;({ vmId, platformVmId } = await system.createVm('app-1', DISKS))
  await write('first')
  first = await system.backup(vmId)
  expect(first, JSON.stringify(first)).toMatchObject({ state: 'succeeded' })
}, 120_000)

afterAll(() => closer.close())
beforeEach(ctx => {
  if (missing !== undefined) ctx.skip(missing)
})

async function write(what: string): Promise<void> {
  const disk = await system.guest(platformVmId, 'virtio0')
  for (let at = 0; at < 24 * MiB; at += 4 * MiB) await disk.write(at, noise(`${what} ${at}`, 4 * MiB))
  await disk.close()
}

async function check(scope: 'leaks' | 'all', sweep: boolean): Promise<CheckWithFindings> {
  const { id } = await system.api<Check>('POST', '/v1/checks', { scope, sweep })
  for (;;) {
    const now = await system.api<CheckWithFindings>('GET', `/v1/checks/${id}`)
    if (now.state === 'done') return now
    if (now.state === 'failed') throw new Error(`${now.reason}: ${now.message}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

const told = ({ findings }: { findings: readonly Finding[] }): string[] => findings.map(f => `${f.code}${f.swept ? ' swept' : ''}`).sort()

async function objects(): Promise<Set<string>> {
  const keys = new Set<string>()
  for await (const { key } of repository.store.list('')) keys.add(key)
  return keys
}

async function vmNames(): Promise<string[]> {
  const names: string[] = []
  for await (const vm of system.driver.listVms()) names.push(vm.name)
  return names.sort()
}

/** A run of the kind that ended as cancelled before it made anything. */
async function cancelled(kind: 'backup' | 'restore'): Promise<Run> {
  const run =
    kind === 'backup'
      ? await system.startBackup(vmId)
      : await system.api<Run>('POST', `/v1/restore-points/${first.restorePointId}/restores`, { target: 'new-vm' })
  await system.api('POST', `/v1/runs/${run.id}/cancel`, {})
  return system.ended(run)
}

test('after a backup there is nothing to find', async () => {
  const looked = await check('all', true)
  expect(looked.findings).toEqual([])
  expect(looked.summary?.seen).toMatchObject({ vms: 1, snapshots: 0, leases: 1, points: 1, images: 1, pages: 1 })
  expect(await system.api('GET', '/v1/leaks')).toMatchObject({ checkId: looked.id, underWay: false, items: [], swept: [] })
})

test('what others own, or may own, is told and never taken away', async () => {
  const unknown = randomUUID()
  const vm = await system.driver.createVm(vmConfig('of another varve', DISKS), 'of another varve', unknown)
  const snapshot = await system.driver.createSnapshot(platformVmId, `varve-${unknown}`)
  await system.driver.createSnapshot(platformVmId, 'by hand')
  const manifest = await repository.getManifest((await repository.listManifests())[0]!)
  const image = { ...manifest.images[0]!, imageId: randomUUID() }
  const root = await repository.getRoot(manifest.images[0]!.rootKey)
  // A point of an older catalog, which stands on a pack that no row names.
  const point = { ...manifest, restorePointId: randomUUID(), vm: { ...manifest.vm, id: randomUUID() } }
  await repository.putRoot({ ...root, imageId: image.imageId })
  const key = await repository.putManifest({ ...point, images: [{ ...image, rootKey: rootKey(image.imageId) }] })
  for (const other of ['notes.txt', 'packs/odd', 'images/odd.root']) await repository.store.put(other, Buffer.from('x'))
  const before = await objects()
  const expected = ['key-of-others', 'key-unknown', 'key-unknown', 'point-of-unknown-run', 'snapshot-of-unknown-run', 'vm-of-unknown-run']
  for (const sweep of [false, true, true]) expect(told(await check('leaks', sweep))).toEqual(expected)
  expect(await objects()).toEqual(before)
  expect((await system.driver.listSnapshots(platformVmId, '')).map(({ name }) => name).sort()).toEqual(['by hand', `varve-${unknown}`])
  expect(await vmNames()).toEqual(['app-1', 'of another varve'])
  await repository.store.delete([key, rootKey(image.imageId), 'notes.txt', 'packs/odd', 'images/odd.root'])
  for (const { id } of await system.driver.listSnapshots(platformVmId, '')) await system.driver.deleteSnapshot(platformVmId, id)
  expect(snapshot.name).toBe(`varve-${unknown}`)
  await system.driver.deleteVm(vm)
})

test('what runs that ended left behind is found, and gone after a sweep; the platform and the bucket say so too', async () => {
  const before = { objects: await objects(), vms: await vmNames() }
  const backup = await cancelled('backup')
  const restore = await cancelled('restore')
  // On the platform.
  await system.driver.createSnapshot(platformVmId, `varve-${backup.id}`)
  await system.driver.createSnapshot(platformVmId, `varve-${first.id}-reset`)
  const half = await system.driver.createVm(vmConfig('half-made', DISKS), 'half-made', restore.id)
  const lease = await system.driver.createLease(half, 'restore', 120)
  await sql.query(`update varve.runs set last_lease_id = $2 where id = $1`, [restore.id, lease.id])
  // In the repository: a try at a range of a run that succeeded, which reported too late; what a run stored that was cancelled.
  const attempt = randomUUID().replaceAll('-', '').slice(0, 24)
  await sql.query(
    `insert into varve.attempts (id, range_id, run_id, worker, touched_at, ended_at, outcome) select $1, id, run_id, 'late', now() - interval '1 hour', now() - interval '1 hour', 'refused' from varve.ranges where run_id = $2 limit 1`,
    [attempt, first.id],
  )
  await repository.store.put(packKey(`${attempt}00000000`), Buffer.alloc(100))
  const imageId = randomUUID()
  await sql.query(
    `insert into varve.images (id, run_id, position, disk_id, disk_size, block_size, kind, reason, cbt) values ($1, $2, 0, 'virtio0', 1048576, 262144, 'full', 'first', true)`,
    [imageId, backup.id],
  )
  await repository.putRoot({ imageId, diskSize: MiB, blockSize: 262_144, pages: PageRefs.none })
  const codes = [
    'lease-of-ended-run',
    'object-of-ended-attempt',
    'root-of-failed-run',
    'snapshot-of-ended-run',
    'snapshot-of-ended-run',
    'vm-of-failed-restore',
  ]
  expect(told(await check('leaks', false))).toEqual(codes)
  expect((await system.api<{ items: Finding[] }>('GET', '/v1/leaks')).items).toHaveLength(codes.length)
  expect(told(await check('leaks', true))).toEqual(codes.map(code => `${code} swept`))
  expect(await system.api('GET', '/v1/leaks')).toMatchObject({ items: [], swept: codes.map(() => expect.anything()) })
  expect((await check('all', false)).findings).toEqual([])
  expect({ objects: await objects(), vms: await vmNames() }).toEqual(before)
  expect(await system.driver.listSnapshots(platformVmId, '')).toEqual([])
  const { rows } = await sql.query(`select swept_at is not null as swept from varve.attempts where id = $1`, [attempt])
  expect(rows).toEqual([{ swept: true }])
}, 60_000)

test('a VM of a failed restore that somebody turned on is not deleted', async () => {
  const restore = await cancelled('restore')
  const vm = await system.driver.createVm(vmConfig('in use', DISKS), 'in use', restore.id)
  await system.driver.power(vm, 'on')
  const { findings } = await check('leaks', true)
  // Not even tried: the platform might do it.
  expect(findings).toMatchObject([{ code: 'vm-of-failed-restore', swept: false, message: expect.not.stringContaining('taken away') }])
  await system.driver.power(vm, 'off')
  // Whether it was on in between is not known later, when it may well be somebody's.
  const end = (of: string): Promise<unknown> =>
    sql.query(
      `set session_replication_role = replica; update varve.runs set ended_at = ${of} where id = '${restore.id}'; set session_replication_role = default`,
    )
  await end(`now() - interval '2 hours'`)
  expect((await check('leaks', true)).findings).toMatchObject([{ swept: false, message: expect.stringContaining('more than an hour ago') }])
  await end('now()')
  expect(told(await check('leaks', true))).toEqual(['vm-of-failed-restore swept'])
  expect(await vmNames()).toEqual(['app-1'])
})

test('a VM that was made a second time for a restore is told; a copy of another name is not', async () => {
  const restore = await cancelled('restore')
  const { rows } = await sql.query<{ name: string }>(`select name from varve.vms where id = $1`, [restore.vmId])
  const name = restoredVmName({ ...restore, vmName: rows[0]!.name })
  const second = await system.driver.createVm(vmConfig(name, DISKS), name, restore.id)
  const other = await system.driver.createVm(vmConfig('renamed', DISKS), 'renamed', 'by-hand')
  const set = (what: string): Promise<unknown> =>
    sql.query(
      `set session_replication_role = replica; update varve.runs set ${what} where id = '${restore.id}'; set session_replication_role = default`,
    )
  await set(`state = 'succeeded', outcome = 'succeeded', reason = null, target_platform_vm_id = '${other}'`)
  expect((await check('leaks', true)).findings).toMatchObject([{ code: 'second-vm-of-restore', subject: second, swept: false }])
  for (const kept of [
    `target_platform_vm_id = '${second}'`,
    `target_platform_vm_id = 'gone'`,
    `target_platform_vm_id = '${other}', options = '{"target":"new-vm","name":"x"}'`,
  ]) {
    await set(kept)
    expect(told(await check('leaks', true))).toEqual([])
  }
  for (const vm of [second, other]) await system.driver.deleteVm(vm)
}, 60_000)

test('an object of an unknown owner goes at the second look that was asked for, unless a restore point in the repository needs it', async () => {
  // Of an old run the catalog keeps only which tries were accepted.
  const { rows } = await sql.query<{ key: string }>(`select key from varve.objects where run_id = $1`, [first.id])
  expect(rows.length).toBeGreaterThan(1)
  await sql.query(
    `insert into varve.run_attempts select run_id, string_agg(decode(id, 'hex'), '') from varve.attempts where run_id = $1 and outcome = 'accepted' group by 1`,
    [first.id],
  )
  for (const table of ['objects', 'attempts']) await sql.query(`delete from varve.${table} where run_id = $1`, [first.id])
  // What no point needs is kept all the same: retention is not a matter of checks. What a run without a point stored is not.
  const useless = packKey(`${rows[0]!.key.slice(-32, -8)}ffffffff`)
  const failed = randomUUID().replaceAll('-', '').slice(0, 24)
  await sql.query(`insert into varve.run_attempts values ($1, decode($2, 'hex'))`, [(await cancelled('backup')).id, failed])
  for (const key of [useless, packKey(`${failed}00000000`)]) await repository.store.put(key, Buffer.alloc(100))
  expect(told(await check('leaks', true))).toEqual(['object-of-ended-attempt swept'])
  expect((await objects()).has(useless)).toBe(true)
  await repository.store.delete([useless])

  // The catalog forgets that as well, as if another one had written what its point needs.
  await sql.query(`delete from varve.run_attempts`)
  const id = randomUUID().replaceAll('-', '')
  await repository.store.put(packKey(id), Buffer.alloc(100))
  const orphan = randomUUID()
  await repository.putRoot({ imageId: orphan, diskSize: MiB, blockSize: 262_144, pages: PageRefs.none })
  const unknown = ['object-of-unknown-owner', 'root-of-unknown-owner']
  expect(told(await check('leaks', true))).toEqual(unknown)
  expect((await objects()).has(packKey(id))).toBe(true)
  // One point in the repository cannot be read: what it needs is not known.
  const broken = `points/${vmId}/20200101T000000.000Z-${randomUUID()}.json`
  await repository.store.put(broken, Buffer.from('{}'))
  expect(told(await check('leaks', true))).toEqual([...unknown, 'point-of-unknown-run'].sort())
  expect((await objects()).has(packKey(id))).toBe(true)
  await repository.store.delete([broken])
  expect(told(await check('leaks', true))).toEqual(unknown.map(code => `${code} swept`))
  const left = await objects()
  expect([left.has(packKey(id)), left.has(rootKey(orphan))]).toEqual([false, false])
  for (const { key } of rows) expect(left).toContain(key)
})

test('sweeping all the while a backup runs, is cancelled and runs again takes nothing that is needed', async () => {
  let sweeping = true
  const found: string[] = []
  const sweeper = (async () => {
    for (; sweeping; ) found.push(...told(await check('leaks', true)))
  })()
  await write('second')
  const run = await system.startBackup(vmId, { full: true })
  while ((await system.api<Run>('GET', `/v1/runs/${run.id}`)).state !== 'copying') await new Promise(resolve => setTimeout(resolve, 5))
  await system.api('POST', `/v1/runs/${run.id}/cancel`, {})
  expect(await system.ended(run)).toMatchObject({ state: 'cancelled' })
  for (const full of [true, false]) {
    await write(`third ${full}`)
    const again = await system.backup(vmId, { full })
    expect(again, JSON.stringify(again)).toMatchObject({ state: 'succeeded' })
  }
  const restored = await system.restore(first.restorePointId!, { target: 'new-vm', name: 'app-of-before' })
  expect(restored, JSON.stringify(restored)).toMatchObject({ state: 'succeeded' })
  sweeping = false
  await sweeper
  // What has no owner that is known goes at the second look.
  for (let look = 0; look < 2; look++) await check('leaks', true)
  expect((await check('all', false)).findings).toEqual([])
  expect(found.filter(code => !/^(object-of-ended-attempt|root-of-failed-run|(snapshot|lease)-of-ended-run) swept$/.test(code))).toEqual([])
  const points = (await system.api<{ items: { id: string }[] }>('GET', `/v1/points?vmId=${vmId}`)).items
  const newest = await system.restore(points[0]!.id, { target: 'new-vm', name: 'app-again', powerOn: true })
  expect(newest, JSON.stringify(newest)).toMatchObject({ state: 'succeeded' })
  const [before, after] = await Promise.all([system.guest(platformVmId, 'virtio0'), system.guest(newest.targetPlatformVmId!, 'virtio0')])
  expect(await exportHash(after)).toBe(await exportHash(before))
}, 180_000)

test('a catalog that was put back to an earlier state takes nothing of the points that were sealed since', async () => {
  const vm = await system.createVm('app-2', DISKS)
  const disk = await system.guest(vm.platformVmId, 'virtio0')
  const runs: Run[] = []
  for (const what of ['full', 'incremental']) {
    await disk.write(0, noise(what, 4 * MiB))
    runs.push(await system.backup(vm.vmId))
  }
  await disk.close()
  const [full, incremental] = runs as [Run, Run]
  const points = await repository.listManifests(vm.vmId)
  expect(points).toHaveLength(2)
  // As if restored from a dump of the time when the first one copied: its snapshot was gone, so it failed; of the second nothing is known.
  await sql.query(`
    set session_replication_role = replica;
    delete from varve.restore_point_images where restore_point_id in ('${full.restorePointId}', '${incremental.restorePointId}');
    delete from varve.restore_points where vm_id = '${vm.vmId}';
    update varve.runs set state = 'failed', outcome = 'failed', reason = 'SNAPSHOT_GONE', message = 'gone' where id = '${full.id}';
    update varve.attempts set outcome = 'lost', touched_at = touched_at - interval '1 hour', ended_at = ended_at - interval '1 hour' where run_id = '${full.id}';
    ${['objects', 'attempts', 'ranges', 'images'].map(table => `delete from varve.${table} where run_id = '${incremental.id}';`).join('')}
    delete from varve.runs where id = '${incremental.id}';
    set session_replication_role = default`)
  const before = await objects()
  for (let look = 0; look < 2; look++) expect(told(await check('leaks', true))).toEqual(['manifest-of-failed-run', 'point-of-unknown-run'])
  expect(await objects()).toEqual(before)
  // The second point stands on what the first stored, also when the first has gone its way.
  await repository.store.delete([points[0]!])
  for (let look = 0; look < 2; look++) expect(told(await check('leaks', true))).toEqual(['point-of-unknown-run'])
  expect(await objects()).toEqual(new Set([...before].filter(key => key !== points[0])))
  // Whoever wants neither takes the manifests away, and the rest follows.
  await repository.store.delete([points[1]!])
  const swept = told(await check('leaks', true))
  expect(swept).toEqual(expect.arrayContaining(['object-of-ended-attempt swept', 'root-of-failed-run swept', 'root-of-unknown-owner']))
  for (const code of swept) expect(code).toMatch(/^(object-of-ended-attempt|root-of-failed-run) swept$|of-unknown-owner$/)
}, 120_000)
