import type { RunState } from '@varve/catalog-client'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  addVm,
  complete,
  copyingBackup,
  fullImage,
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
} from './testing/catalog-fixture.ts'

/** The table of DESIGN.md section 6, told to the database itself: what the code would never do is refused there too. */

let databases: TestDatabases
let t: TestCatalog
beforeAll(async () => {
  databases = await startTestPostgres()
  t = await startTestCatalog(await databases.create(), { reconcileIntervalS: 3600 })
})
afterAll(async () => {
  await t?.close()
  await databases?.close()
})

/** A statement past the catalog; its name in the answer when it is refused. */
async function attempt(sql: string, values: readonly unknown[], on: pg.Pool | pg.PoolClient = t.sql): Promise<'done' | 'refused'> {
  try {
    const { rowCount } = await on.query(sql, values as unknown[])
    expect(rowCount, `${sql} touched nothing`).toBeGreaterThan(0)
    return 'done'
  } catch (error) {
    expect(error, sql).toMatchObject({ code: '23514' } satisfies Partial<pg.DatabaseError>)
    return 'refused'
  }
}

interface Story {
  readonly runId: string
  readonly imageId: string
}

/** A backup brought to a state, with all its resources recorded on the way. */
async function backupIn(state: RunState): Promise<Story> {
  const { catalog } = t
  const { id: runId } = await catalog.createBackup(await addVm(catalog), {})
  if (state === 'queued') return { runId, imageId: '' }
  await catalog.startRun(runId)
  await catalog.recordResources(runId, { snapshotName: 'varve-1', snapshotId: 's1', leaseId: 'l1' })
  await catalog.recordSnapshot(runId, { checkpointId: '7', config: {}, snapshotId: 's1' })
  const [image] = await catalog.addImages(runId, [fullImage()])
  const imageId = image!.id
  if (state === 'preparing') return { runId, imageId }
  await catalog.addRanges(runId, [rangeOf(imageId, 0)])
  await catalog.planned(runId)
  if (state === 'sealing') {
    await until(async () => (await rangeIds(t, runId, 'queued')).length > 0)
    for (const id of await rangeIds(t, runId)) await complete(catalog, id)
  }
  if (state === 'finishing' || state === 'failed') await catalog.failRun(runId, { code: 'X', message: 'x', retryable: false })
  if (state !== 'failed') return { runId, imageId }
  await catalog.recordResources(runId, { leaseId: null, snapshotId: null, snapshotName: null })
  await catalog.closeRun(runId)
  return { runId, imageId }
}

const STATES = ['queued', 'preparing', 'copying', 'sealing', 'finishing', 'failed'] as const
type Letter = '+' | '-'
/** One sign for each of the six states: + allowed, - refused. Backups in `queued` have nothing yet, so that clearing is tried from `preparing` on. */
const RUN_CHANGES: readonly (readonly [string, string, string])[] = [
  ['record a lease', `lease_id = 'l2'`, '-++++-'],
  ['clear the lease', `lease_id = null`, ' +++++'],
  ['name a snapshot', `snapshot_name = 'varve-2'`, '-+--+-'],
  ['record another snapshot', `snapshot_id = 's2'`, '-+--+-'],
  ['clear the snapshot', `snapshot_id = null`, ' +--++'],
  ['clear the name before the snapshot', `snapshot_name = null`, ' ----+'],
  ['clear both', `snapshot_id = null, snapshot_name = null`, ' ---++'],
  ['record a new VM', `created_vm_id = 'vm'`, '-+--+-'],
  ['record a checkpoint', `checkpoint_id = '8'`, '-+----'],
  ['record a target', `target_platform_vm_id = 'vm'`, '-+----'],
  ['a sign of life', `touched_at = now()`, '++++++'],
  ['another VM', `vm_id = gen_random_uuid()`, '------'],
  ['other options', `options = '{"full": true}'`, '------'],
  ['plan again', `planned_at = now() + interval '1 second'`, '++----'],
  ['settle the outcome otherwise', `outcome = 'cancelled'`, '------'],
  ['give another reason', `reason = 'Y'`, '++++--'],
]

describe('a run', () => {
  test.each(RUN_CHANGES)('%s', async (_, assignment, signs) => {
    let seen = ''
    for (const [i, state] of STATES.entries()) {
      if (signs[i] === ' ') {
        seen += ' '
        continue
      }
      const { runId } = await backupIn(state)
      const answer = await attempt(`update varve.runs set ${assignment} where id = $1`, [runId])
      seen += (answer === 'done' ? '+' : '-') satisfies Letter
    }
    expect(seen).toBe(signs)
  })

  test('goes to no state but the next, and not to copying without a plan', async () => {
    const next: Record<string, readonly string[]> = {
      queued: ['preparing'],
      preparing: [],
      copying: ['sealing'],
      sealing: [],
      finishing: ['failed'],
      failed: [],
    }
    for (const from of STATES) {
      for (const to of [...STATES, 'cancelled', 'succeeded']) {
        if (to === from || to === 'finishing') continue
        const { runId } = await backupIn(from)
        const ended = to === 'failed' || to === 'cancelled' || to === 'succeeded'
        const end = ', ended_at = now(), snapshot_name = null, snapshot_id = null, lease_id = null, created_vm_id = null'
        const answer = await attempt(`update varve.runs set state = $2 ${ended ? end : ''} where id = $1`, [runId, to])
        expect(`${from} -> ${to}: ${answer}`).toBe(`${from} -> ${to}: ${next[from]?.includes(to) ? 'done' : 'refused'}`)
      }
    }
  })

  test('does not take back a cancel', async () => {
    const { runId } = await backupIn('preparing')
    await t.catalog.cancelRun(runId)
    expect(await attempt(`update varve.runs set cancel_requested = false where id = $1`, [runId])).toBe('refused')
  })
})

describe('a plan', () => {
  test('grows and goes only while preparing; history may be removed in whole', async () => {
    const signs = { added: '', ranges: '', removed: '' }
    for (const state of STATES.slice(1)) {
      const { runId, imageId } = await backupIn(state)
      const sign = async (sql: string, values: readonly unknown[]): Promise<Letter> => ((await attempt(sql, values)) === 'done' ? '+' : '-')
      signs.added += await sign(
        `insert into varve.images (run_id, position, disk_id, disk_size, block_size, kind, cbt) values ($1, 9, 'x', 1, 512, 'full', true)`,
        [runId],
      )
      signs.ranges += await sign(
        `insert into varve.ranges (run_id, image_id, index, first_page, page_count, extents, bytes) values ($1, $2, 9, 9, 1, '[]', 0)`,
        [runId, imageId],
      )
      // What refers to ranges would keep them anyway, and the dispatcher may just be queueing one.
      const client = await t.sql.connect()
      await client.query('begin; lock table varve.outbox in exclusive mode')
      for (const table of ['outbox', 'objects', 'attempts']) await client.query(`delete from varve.${table} where run_id = $1`, [runId])
      signs.removed += (await attempt(`delete from varve.ranges where run_id = $1`, [runId], client)) === 'done' ? '+' : '-'
      await client.query('commit')
      client.release()
    }
    expect(signs).toEqual({ added: '+---+', ranges: '+---+', removed: '+---+' })
  })

  test('an image keeps what it is; what is planned grows while preparing, what is done while copying', async () => {
    const changes = [`planned = planned + 1`, `read = read + 1`, `planned = planned - 1`, `read = read - 1`, `kind = kind`]
    const seen: Record<string, string> = {}
    for (const change of changes) {
      seen[change] = ''
      for (const state of STATES.slice(1)) {
        const { imageId } = await backupIn(state)
        seen[change] += (await attempt(`update varve.images set ${change} where id = $1`, [imageId])) === 'done' ? '+' : '-'
      }
    }
    expect(Object.values(seen)).toEqual(['+----', '-+--+', '-----', '-----', '-----'])
  })
})

describe('a range', () => {
  const set = (id: string, assignments: string) => attempt(`update varve.ranges set ${assignments} where id = $1`, [id])
  const DONE = `state = 'done', read = 1, written = 1, unchanged = 0, zero = 0, pages = '', damage = '[]', report_hash = '', done_at = now()`

  test('is queued, then done, and then stays as it is', async () => {
    const { run } = await copyingBackup(t, await addVm(t.catalog), 40)
    const [queued] = await rangeIds(t, run.id, 'queued')
    const [planned] = await rangeIds(t, run.id, 'planned')
    expect(await set(planned!, DONE)).toBe('refused')
    expect(await set(planned!, `extents = '[0, 1]'`)).toBe('refused')
    expect(await set(queued!, `state = 'failed'`)).toBe('refused')
    expect(await set(queued!, `progress_read = 5, touched_at = now()`)).toBe('done')
    expect(await set(queued!, DONE)).toBe('done')
    for (const change of [`state = 'queued'`, `written = 2`, `report_hash = 'x'`, `touched_at = now()`, `progress_read = 0`]) {
      expect(await set(queued!, change)).toBe('refused')
    }
  })

  test('is planned again only where it is handed back by a paused run', async () => {
    const { run } = await copyingBackup(t, await addVm(t.catalog), 1)
    const [id] = await rangeIds(t, run.id)
    expect(await set(id!, `state = 'planned'`)).toBe('refused')
    await t.sql.query(`update varve.runs set paused = true where id = $1`, [run.id])
    expect(await set(id!, `state = 'planned'`)).toBe('done')
  })
})

describe('an attempt', () => {
  const set = (id: string, assignments: string) => attempt(`update varve.attempts set ${assignments} where id = $1`, [id])

  test('has one outcome, for good, and is accepted only with its range done', async () => {
    const { run } = await copyingBackup(t, await addVm(t.catalog), 2)
    const [rangeId] = await rangeIds(t, run.id)
    const [winner, failed] = [await take(t.catalog, rangeId!), await take(t.catalog, rangeId!)]
    expect(await set(winner, `outcome = 'accepted', ended_at = now()`)).toBe('refused')
    expect(await set(failed, `outcome = 'failed', ended_at = now()`)).toBe('done')
    expect(await set(failed, `outcome = 'refused'`)).toBe('refused')
    expect(await t.catalog.completeRange(rangeId!, winner, result(winner))).toEqual({ accepted: true })
    expect(await set(winner, `outcome = 'lost'`)).toBe('refused')
    expect(await set(winner, `outcome = null, ended_at = null`)).toBe('refused')
    // Swept, and again after a late word of it.
    expect(await set(failed, `swept_at = now()`)).toBe('done')
    expect(await set(failed, `swept_at = null, touched_at = now()`)).toBe('done')
    expect(await set(failed, `worker = 'x'`)).toBe('refused')
  })
})

describe('a check', () => {
  test('is run by one worker after the other, then ended for good', async () => {
    const { rows } = await t.sql.query<{ id: string }>(`insert into varve.checks (scope, sweep) values ('all', true) returning id`)
    const set = (assignments: string) => attempt(`update varve.checks set ${assignments} where id = $1`, [rows[0]!.id])
    const done = `state = 'done', ended_at = now(), findings = '[]', summary = '{}'`
    expect(await set(done)).toBe('refused')
    expect(await set(`state = 'running', worker = 'a'`)).toBe('done')
    expect(await set(`state = 'queued'`)).toBe('refused')
    expect(await set(`state = 'running', worker = 'b'`)).toBe('done')
    expect(await set(`sweep = false`)).toBe('refused')
    expect(await set(done)).toBe('done')
    expect(await set(`state = 'failed', reason = 'x'`)).toBe('refused')
    expect(await set(`findings = '[1]'`)).toBe('refused')
  })
})

test('a whole backup goes through all of it', async () => {
  const vmId = await addVm(t.catalog)
  const { pointId } = await sealedBackup(t, vmId)
  expect(await t.catalog.parentPoint(vmId)).toMatchObject({ restorePointId: pointId })
})
