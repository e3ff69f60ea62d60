import type { CheckSummary, Finding } from '@varve/catalog-client'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { startTestCatalog, startTestPostgres, type TestCatalog, type TestDatabases } from './testing/catalog-fixture.ts'

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
beforeEach(async () => {
  await t.sql.query('delete from varve.checks')
})

const seen = { vms: 0, snapshots: 0, leases: 0, objects: 0, points: 0, images: 0, pages: 0 }
const summary: CheckSummary = { findings: 1, leaks: 1, broken: 0, notes: 0, swept: 0, byCode: { 'key-unknown': 1 }, seen }
const finding: Finding = {
  code: 'key-unknown',
  kind: 'leak',
  invariant: 7,
  subject: 'packs/x',
  runId: null,
  platformId: null,
  message: 'm',
  swept: false,
}

/** Time goes by, which the states do not let anybody write. */
async function age(change: string): Promise<void> {
  await t.sql.query(
    `alter table varve.checks disable trigger user; update varve.checks set ${change}; alter table varve.checks enable trigger user`,
  )
}

test('is taken oldest first, by one worker each; its progress and end are seen', async () => {
  const first = await t.catalog.createCheck({ scope: 'all', sweep: false })
  const second = await t.catalog.createCheck({ scope: 'leaks', sweep: true })
  const taken = await Promise.all(['a', 'b', 'c'].map(worker => t.catalog.takeCheck(worker)))
  expect(taken.map(check => check?.id).sort()).toEqual([first.id, second.id, undefined].sort())
  const [worker = '', check] = Object.entries({ a: taken[0], b: taken[1], c: taken[2] }).find(([, c]) => c?.id === first.id) ?? []
  expect(check).toMatchObject({ state: 'running', worker })
  // A lost answer: the same one again.
  expect((await t.catalog.takeCheck(worker))?.id).toBe(first.id)
  await t.catalog.progressCheck(first.id, worker, { step: 'points', seen })
  expect((await t.catalog.getCheck(first.id)).progress).toEqual({ step: 'points', seen })
  await t.catalog.endCheck(first.id, worker, { findings: [finding], summary })
  expect(await t.catalog.getCheck(first.id)).toMatchObject({ state: 'done', summary, findings: [finding] })
  expect((await t.catalog.listChecks({ scope: 'all' }))[0]).not.toHaveProperty('findings')
  await expect(t.catalog.progressCheck(first.id, worker, { step: 'x', seen })).rejects.toMatchObject({ code: 'CONFLICT' })
})

test('a silent worker loses its check to another, and its late end changes nothing', async () => {
  const { id } = await t.catalog.createCheck({ scope: 'leaks', sweep: false })
  await t.catalog.takeCheck('slow')
  expect(await t.catalog.takeCheck('other')).toBeNull()
  await t.sql.query(`update varve.checks set touched_at = now() - interval '61 seconds'`)
  expect((await t.catalog.takeCheck('other'))?.id).toBe(id)
  await expect(t.catalog.endCheck(id, 'slow', { findings: [], summary })).rejects.toMatchObject({ code: 'CONFLICT' })
  await t.catalog.endCheck(id, 'other', { error: { code: 'STORE_UNAVAILABLE', message: 'away' } })
  expect(await t.catalog.getCheck(id)).toMatchObject({ state: 'failed', reason: 'STORE_UNAVAILABLE', findings: null })
})

test('however many ask for the periodic check, one is open, and the next is due only later', async () => {
  const made = await Promise.all(Array.from({ length: 8 }, () => t.catalog.createPeriodicCheck(300, 0)))
  expect(new Set(made.map(({ id }) => id)).size).toBe(1)
  const { id } = made[0]!
  await t.catalog.takeCheck('w')
  await t.catalog.endCheck(id, 'w', { findings: [], summary })
  expect((await t.catalog.createPeriodicCheck(300, 0)).id).toBe(id)
  await age("created_at = now() - interval '301 seconds'")
  expect((await t.catalog.createPeriodicCheck(300, 0)).id).not.toBe(id)
  expect(await t.catalog.listChecks({ periodic: true })).toHaveLength(2)
})

test('old checks go, the newest that was done stays', async () => {
  for (let day = 1; day <= 4; day++) {
    const { id } = await t.catalog.createPeriodicCheck(1, 0)
    await t.catalog.takeCheck('w')
    await t.catalog.endCheck(id, 'w', { findings: [], summary })
    await age("created_at = created_at - interval '2 days', ended_at = ended_at - interval '2 days'")
  }
  await t.catalog.createPeriodicCheck(1, 0)
  expect((await t.catalog.listChecks()).map(({ state }) => state)).toEqual(['queued', 'done'])
})

test('one of them looks at everything, once in its longer interval, or an hour after it failed', async () => {
  const made = async (end: Parameters<typeof t.catalog.endCheck>[2], minutes: number): Promise<string> => {
    const { id, scope } = await t.catalog.createPeriodicCheck(300, 86_400)
    await t.catalog.takeCheck('w')
    await t.catalog.endCheck(id, 'w', end)
    await age(`created_at = created_at - interval '${minutes} minutes', ended_at = ended_at - interval '${minutes} minutes'`)
    return scope
  }
  const done = { findings: [], summary }
  const failed = { error: { code: 'STORE_UNAVAILABLE', message: 'away' } }
  const scopes = [
    await made(failed, 30),
    await made(done, 31),
    await made(done, 1000),
    await made(done, 441),
    await made(done, 60 * 25 * 3),
  ]
  expect(scopes).toEqual(['all', 'leaks', 'all', 'leaks', 'all'])
  // Of each kind the newest that was done stays, however old.
  await t.catalog.createPeriodicCheck(300, 0)
  expect((await t.catalog.listChecks({ periodic: true })).map(({ scope, state }) => `${scope} ${state}`)).toEqual([
    'leaks queued',
    'all done',
    'leaks done',
  ])
})
