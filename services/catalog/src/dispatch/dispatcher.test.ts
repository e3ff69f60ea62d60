import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Database } from '../database.ts'
import {
  addVm,
  complete,
  copyingBackup,
  fullImage,
  log,
  rangeIds,
  rangeOf,
  result,
  sealedBackup,
  startTestCatalog,
  startTestPostgres,
  type TestCatalog,
  type TestDatabases,
  take,
  until,
} from '../testing/catalog-fixture.ts'
import { type DispatchSettings, dispatch, dispatchAgain } from './dispatcher.ts'

const SETTINGS: DispatchSettings = { window: 4, queueWindow: 10, silenceS: 15, slowS: 20 }
let databases: TestDatabases
let t: TestCatalog
let db: Database
beforeAll(async () => {
  databases = await startTestPostgres()
  t = await startTestCatalog(await databases.create(), { ...SETTINGS, reconcileIntervalS: 3600 })
  db = new Database(t.databaseUrl, 4, log)
})
afterAll(async () => {
  await db?.close()
  await t?.close()
  await databases?.close()
})

const end = async (runId: string): Promise<void> => {
  await t.catalog.failRun(runId, { code: 'X', message: 'x', retryable: false })
  await t.catalog.closeRun(runId)
}
const set = (table: 'runs' | 'platforms' | 'vms', id: string, assignment: string): Promise<unknown> =>
  t.sql.query(`update varve.${table} set ${assignment} where id = $1`, [id])
const isReleased = async (runId: string): Promise<boolean> =>
  (await t.sql.query(`select 1 from varve.runs where id = $1 and released_at is not null`, [runId])).rowCount === 1
const prepared = (runId: string): boolean => t.queue.ids('prepare-backup').includes(`${runId}-prepare-backup`)
const jobsOf = (rangeId: string): string[] => t.queue.ids().filter(id => id.startsWith(rangeId))
/** Long ago, for all that was ever seen of a range. */
const age = async (rangeId: string, seconds: number): Promise<void> => {
  await t.sql.query(`update varve.attempts set touched_at = now() - make_interval(secs => $2) where range_id = $1 and ended_at is null`, [
    rangeId,
    seconds,
  ])
}
/** The service's own dispatcher may be at it. */
async function unlessBusy<T>(once: () => Promise<T | null>): Promise<T> {
  for (;;) {
    const answer = await once()
    if (answer !== null) return answer
  }
}
const again = () => unlessBusy(() => dispatchAgain(db, SETTINGS))
const pass = () => unlessBusy(() => dispatch(db, SETTINGS, 'runs'))
/** The counts say what the ranges say. */
const expectCounts = async (): Promise<void> => {
  const { rows } = await t.sql.query(
    `select i.id from varve.images i join varve.runs r on r.id = i.run_id where r.state = 'copying'
      and i.ranges_queued <> (select count(*) from varve.ranges g where g.image_id = i.id and g.state = 'queued')`,
  )
  expect(rows).toEqual([])
}

/** VMs of one platform. */
async function vmsOf(count: number): Promise<{ platformId: string; vmIds: string[] }> {
  const platform = await t.catalog.addPlatform({
    name: `p${Math.random()}`,
    kind: 'scp',
    url: 'https://p',
    credentials: { username: 'u', password: 'p' },
  })
  const disks = [{ diskId: 'd0', size: 1 }]
  const vms = Array.from({ length: count }, (_, i) => ({ platformVmId: `v${i}`, name: `v${i}`, power: 'on', exclusions: [], disks }))
  await t.catalog.reportVms(platform.id, vms)
  const seen = (await t.catalog.listVms()).filter(vm => vm.platformId === platform.id)
  return { platformId: platform.id, vmIds: vms.map(({ name }) => seen.find(vm => vm.name === name)!.id) }
}

describe('runs', () => {
  test('wait without a job until their platform has room, and are given out as others end', async () => {
    const { platformId, vmIds } = await vmsOf(3)
    await set('platforms', platformId, `limits = '{"runs": 1}'`)
    const runs: string[] = []
    for (const vmId of vmIds) runs.push((await t.catalog.createBackup(vmId, {})).id)
    await until(() => prepared(runs[0]!))
    await pass()
    expect([prepared(runs[1]!), prepared(runs[2]!)]).toEqual([false, false])
    // Nor does the reconciler give them a job.
    await t.catalog.requeue(runs[1]!)
    // Priority before age.
    await set('runs', runs[2]!, `priority = 'high', created_at = created_at - interval '1 second'`)
    await end(runs[0]!)
    await until(() => prepared(runs[2]!))
    expect(t.queue.added.find(job => job.payload.runId === runs[2])).toMatchObject({ priority: 'high' })
    expect(prepared(runs[1]!)).toBe(false)
    // More room, and no job until then.
    await set('platforms', platformId, `limits = '{"runs": 2}'`)
    await until(() => prepared(runs[1]!))
    for (const id of runs) await end(id)
  })

  test('of a host: its place is that of the moment they are given out; one that was cancelled before takes none', async () => {
    const { platformId, vmIds } = await vmsOf(4)
    await set('platforms', platformId, `limits = '{"runsPerHost": 1}'`)
    for (const [i, vmId] of vmIds.entries()) await set('vms', vmId, `host_id = '${i === 3 ? 'other' : 'host'}'`)
    const [a, b, c, d] = await Promise.all(vmIds.map(async vmId => (await t.catalog.createBackup(vmId, {})).id))
    await until(async () => (await isReleased(d!)) && (await Promise.all([a!, b!, c!].map(isReleased))).filter(Boolean).length === 1)
    const { rows } = await t.sql.query<{ id: string }>(`select id from varve.runs where platform_id = $1 and host_id = 'host'`, [
      platformId,
    ])
    expect(rows).toHaveLength(1)
    const [left, last] = [a!, b!, c!].filter(id => id !== rows[0]!.id)
    await t.catalog.cancelRun(left!)
    await t.catalog.closeRun(left!)
    await end(rows[0]!.id)
    await until(() => prepared(last!))
    expect(prepared(left!)).toBe(false)
    await end(last!)
    await end(d!)
  })

  test('pressure halves the limits, a pause holds', async () => {
    const { platformId, vmIds } = await vmsOf(2)
    await set('platforms', platformId, `limits = '{"runs": 3}', pressure = 1, pressure_at = now(), pressure_reason = 'throttled'`)
    const first = await t.catalog.createBackup(vmIds[0]!, {})
    await until(() => prepared(first.id))
    const second = await t.catalog.createBackup(vmIds[1]!, {})
    await pass()
    expect(await isReleased(second.id)).toBe(false)
    await set('runs', second.id, 'paused = true')
    await set('platforms', platformId, `pressure = 0, pressure_reason = null`)
    await pass()
    expect(await isReleased(second.id)).toBe(false)
    await set('runs', second.id, 'paused = false')
    await until(() => prepared(second.id))
    await end(first.id)
    await end(second.id)
  })
})

describe('ranges', () => {
  test('of several runs share the queue; what was paused comes back under a new number and is given out when it goes on', async () => {
    const a = await copyingBackup(t, await addVm(t.catalog), 30)
    const b = await copyingBackup(t, await addVm(t.catalog), 30)
    const c = await copyingBackup(t, await addVm(t.catalog), 30)
    const queued = async ({ run }: { run: { id: string } }): Promise<number> => (await rangeIds(t, run.id, 'queued')).length
    // Ten in all, four of a run.
    await until(async () => (await queued(a)) === 4 && (await queued(b)) === 4 && (await queued(c)) === 2)
    const ofA = await rangeIds(t, a.run.id, 'queued')
    await set('runs', a.run.id, 'paused = true')
    for (const id of ofA) expect(await t.catalog.takeRange(id, 'w')).toMatchObject({ attemptId: null, state: 'planned' })
    await complete(t.catalog, (await rangeIds(t, c.run.id, 'queued'))[0]!)
    await until(async () => (await queued(a)) === 0 && (await queued(b)) === 4 && (await queued(c)) === 4)
    await set('runs', a.run.id, 'paused = false')
    await until(async () => (await queued(a)) === 2)
    await until(() => jobsOf(ofA[0]!).length === 2)
    expect(jobsOf(ofA[0]!)).toEqual([ofA[0], `${ofA[0]}.1`])
    await expectCounts()
    for (const { run } of [a, b, c]) await end(run.id)
  })

  test('of two disks of a full datastore one is read after the other', async () => {
    const run = await t.catalog.createBackup(await addVm(t.catalog), {})
    await set('platforms', run.platformId, `limits = '{"openDisksPerDatastore": 1}'`)
    await t.catalog.startRun(run.id)
    const images = await t.catalog.addImages(run.id, [fullImage('d0'), fullImage('d1')])
    await t.sql.query(`update varve.images set datastore_id = 's' where run_id = $1`, [run.id])
    await t.catalog.addRanges(
      run.id,
      images.flatMap(image => [0, 1, 2].map(index => rangeOf(image.id, index))),
    )
    await t.catalog.planned(run.id)
    const order: string[] = []
    for (let left = 6; left > 0; left--) {
      await until(async () => (await rangeIds(t, run.id, 'queued')).length > 0)
      const { rows } = await t.sql.query<{ id: string; image_id: string }>(
        `select id, image_id from varve.ranges where run_id = $1 and state = 'queued'`,
        [run.id],
      )
      expect(new Set(rows.map(row => row.image_id)).size).toBe(1)
      order.push(rows[0]!.image_id)
      await complete(t.catalog, rows[0]!.id)
    }
    expect(order).toEqual([...Array(3).fill(order[0]), ...Array(3).fill(order[5])])
    await end(run.id)
  })

  test('several instances at once: the windows hold, every range is given out once', async () => {
    const others = await Promise.all([1, 2].map(() => startTestCatalog(t.databaseUrl, { ...SETTINGS, reconcileIntervalS: 3600 })))
    try {
      const runs = await Promise.all([1, 2, 3].map(async () => (await copyingBackup(t, await addVm(t.catalog), 25)).run.id))
      await until(async () => {
        const queued = await Promise.all(runs.map(id => rangeIds(t, id, 'queued')))
        expect(queued.flat().length).toBeLessThanOrEqual(SETTINGS.queueWindow)
        for (const list of queued) expect(list.length).toBeLessThanOrEqual(SETTINGS.window)
        await Promise.all(queued.flat().map(id => complete(t.catalog, id).catch(() => {})))
        return (await Promise.all(runs.map(id => t.catalog.getRun(id)))).every(run => run.state === 'sealing')
      })
      await until(async () => (await t.sql.query(`select 1 from varve.outbox`)).rowCount === 0)
      const jobs = [t, ...others].flatMap(({ queue }) =>
        queue.added.filter(job => job.name === 'read-range' && runs.includes(job.payload.runId)),
      )
      expect(jobs).toHaveLength(75)
      for (const id of runs) await end(id)
    } finally {
      for (const other of others) await other.close()
    }
  })
})

describe('ranges whose worker says nothing', () => {
  test('get another job under a new id, once, until that is taken; the first report wins, also that of the one who slept', async () => {
    const { run } = await copyingBackup(t, await addVm(t.catalog), 3)
    const [a, b] = await rangeIds(t, run.id)
    const sleeper = await take(t.catalog, a!)
    const alive = await take(t.catalog, b!)
    await age(a!, 16)
    await age(b!, 10)
    expect(await again()).toEqual({ silent: [a], slow: [] })
    await until(() => jobsOf(a!).length === 2)
    expect(jobsOf(a!)).toEqual([a, `${a}.1`])
    // Silent all the same, but nobody has taken the new job yet.
    await age(a!, 60)
    expect(await again()).toEqual({ silent: [], slow: [] })
    const second = await take(t.catalog, a!)
    expect(await again()).toEqual({ silent: [], slow: [] })
    await age(a!, 60)
    expect(await again()).toEqual({ silent: [a], slow: [] })
    expect(await t.catalog.progressRange(a!, sleeper, { read: 1, written: 1 })).toEqual({ next: 'go-on' })
    expect(await t.catalog.completeRange(a!, sleeper, result(sleeper))).toEqual({ accepted: true })
    expect(await t.catalog.progressRange(a!, second, { read: 1, written: 1 })).toEqual({ next: 'taken' })
    expect(await t.catalog.completeRange(b!, alive, result(alive))).toEqual({ accepted: true })
    await expectCounts()
    await end(run.id)
  })

  test('wait while their run is paused, and are left to the queue when the attempt was ended', async () => {
    const { run } = await copyingBackup(t, await addVm(t.catalog), 2)
    const [a, b] = await rangeIds(t, run.id)
    await take(t.catalog, a!)
    await t.catalog.endAttempt(await take(t.catalog, b!), 'failed')
    await age(a!, 60)
    await set('runs', run.id, 'paused = true')
    expect(await again()).toEqual({ silent: [], slow: [] })
    await set('runs', run.id, 'paused = false')
    expect(await again()).toEqual({ silent: [a], slow: [] })
    await end(run.id)
  })
})

describe('ranges that are slow', () => {
  const started = (rangeId: string, seconds: number): Promise<unknown> =>
    t.sql.query(
      `alter table varve.attempts disable trigger user;
       update varve.attempts set started_at = now() - interval '${seconds} seconds' where range_id = '${rangeId}' and ended_at is null;
       update varve.ranges set queued_at = now() - interval '${seconds} seconds' where id = '${rangeId}';
       alter table varve.attempts enable trigger user`,
    )
  const tookS = (rangeId: string, seconds: number): Promise<unknown> =>
    t.sql.query(
      `alter table varve.attempts disable trigger user;
       update varve.attempts set started_at = ended_at - interval '${seconds} seconds' where range_id = '${rangeId}';
       alter table varve.attempts enable trigger user`,
    )

  test('are given to others as well once no range waits, by what is usual in their run, twice at most', async () => {
    const { run } = await copyingBackup(t, await addVm(t.catalog), 6)
    const ids = await rangeIds(t, run.id)
    const slow = ids[0]!
    const attempt = await take(t.catalog, slow)
    await started(slow, 40)
    // Two still wait.
    expect(await again()).toEqual({ silent: [], slow: [] })
    for (const id of ids.slice(1, 4)) {
      await until(async () => (await rangeIds(t, run.id, 'queued')).includes(id))
      await complete(t.catalog, id)
      await tookS(id, 12)
    }
    await until(async () => (await rangeIds(t, run.id, 'planned')).length === 0)
    // Three times 12 s are 36.
    await started(slow, 35)
    expect(await again()).toEqual({ silent: [], slow: [] })
    await started(slow, 38)
    expect(await again()).toEqual({ silent: [], slow: [slow] })
    expect(await again()).toEqual({ silent: [], slow: [] })
    const helper = await take(t.catalog, slow)
    // Two work on it now.
    await started(slow, 60)
    expect(await again()).toEqual({ silent: [], slow: [] })
    await t.catalog.endAttempt(helper, 'failed')
    expect(await again()).toEqual({ silent: [], slow: [slow] })
    await t.catalog.endAttempt(await take(t.catalog, slow), 'failed')
    await started(slow, 600)
    expect(await again()).toEqual({ silent: [], slow: [] })
    await until(() => jobsOf(slow).length === 3)
    expect(jobsOf(slow)).toEqual([slow, `${slow}.1`, `${slow}.2`])
    expect(await t.catalog.completeRange(slow, attempt, result(attempt))).toEqual({ accepted: true })
    await end(run.id)
  })

  test('of a restore too', async () => {
    const { pointId, imageId } = await sealedBackup(t, await addVm(t.catalog))
    const run = await t.catalog.createRestore(pointId, { target: 'new-vm' })
    await t.catalog.startRun(run.id)
    const [image] = await t.catalog.addImages(run.id, [{ ...fullImage(), reason: null, cbt: false, sourceImageId: imageId }])
    await t.catalog.addRanges(run.id, [rangeOf(image!.id, 0)])
    await t.catalog.planned(run.id)
    await until(async () => (await rangeIds(t, run.id, 'queued')).length === 1)
    const [only] = await rangeIds(t, run.id)
    await take(t.catalog, only!)
    await started(only!, 61)
    expect(await again()).toEqual({ silent: [], slow: [only] })
    await until(() => t.queue.ids('write-range').includes(`${only}.1`))
    await end(run.id)
  })
})
