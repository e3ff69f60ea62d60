import { randomUUID } from 'node:crypto'
import { type PageRequest, placeAfter } from '@varve/catalog-client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  PLATFORM,
  sealedBackup,
  startTestCatalog,
  startTestPostgres,
  type TestCatalog,
  type TestDatabases,
} from './testing/catalog-fixture.ts'

let databases: TestDatabases
let t: TestCatalog
let vms: string[]
beforeAll(async () => {
  databases = await startTestPostgres()
  t = await startTestCatalog(await databases.create(), { reconcileIntervalS: 3600 })
  const platform = await t.catalog.addPlatform({ ...PLATFORM, name: 'paged' })
  // Names twice, and not in the order of ids.
  const named = Array.from({ length: 13 }, (_, n) => ({
    platformVmId: `vm-${n}`,
    name: `vm ${n % 7}`,
    power: 'on',
    exclusions: [],
    disks: [],
  }))
  await t.catalog.reportVms(platform.id, named)
  vms = (await t.catalog.listVms()).map(vm => vm.id)
  for (let n = 0; n < 9; n++) await sealedBackup(t, vms[n % 2]!, 1)
  // Several at one time: the id decides.
  await t.sql.query(
    `update varve.restore_points set created_at = date_trunc('minute', created_at) - make_interval(mins => (random() * 2)::integer)`,
  )
  await t.sql.query(`update varve.runs set created_at = date_trunc('minute', created_at) - make_interval(mins => (random() * 2)::integer)`)
})
afterAll(async () => {
  await t?.close()
  await databases?.close()
})

type Listed = Parameters<typeof placeAfter>[0]

/** All pages; `between` is done after each. */
async function pages(
  list: (page: PageRequest) => Promise<readonly Listed[]>,
  limit: number,
  between: () => Promise<unknown> = async () => {},
): Promise<string[]> {
  const ids: string[] = []
  for (let after: string | undefined; ; ) {
    const page = await list({ limit, ...(after === undefined ? {} : { after }) })
    expect(page.length).toBeLessThanOrEqual(limit)
    ids.push(...page.map(item => item.id))
    if (page.length < limit) return ids
    after = placeAfter(page.at(-1)!)
    await between()
  }
}

test.each([1, 2, 3, 9, 50])('pages of %i cover every row exactly once, in the order of the whole list', async limit => {
  const { catalog } = t
  expect(await pages(page => catalog.listVms(page), limit)).toEqual(vms)
  expect(await pages(page => catalog.listPoints(undefined, page), limit)).toEqual((await catalog.listPoints()).map(point => point.id))
  for (const vmId of vms.slice(0, 3)) {
    const all = (await catalog.listPoints()).filter(point => point.vmId === vmId).map(point => point.id)
    expect(await pages(page => catalog.listPoints(vmId, page), limit)).toEqual(all)
  }
  const runs = await catalog.listRuns({ limit: 500 })
  expect(await pages(page => catalog.listRuns(page), limit)).toEqual(runs.map(run => run.id))
  for (const filter of [{ vmId: vms[0]! }, { kind: 'backup' }, { kind: 'restore' }, { active: false }, { active: true }] as const) {
    const all = (await catalog.listRuns({ ...filter, limit: 500 })).map(run => run.id)
    expect(await pages(page => catalog.listRuns({ ...filter, ...page }), limit)).toEqual(all)
  }
})

test('rows that are added in between, or the last row of a page that goes, neither hide nor repeat what was there', async () => {
  const { catalog } = t
  const points = (await catalog.listPoints()).map(point => point.id)
  expect(
    await pages(
      page => catalog.listPoints(undefined, page),
      2,
      () => sealedBackup(t, vms[2]!, 1),
    ),
  ).toEqual(points)
  const runs = (await catalog.listRuns({ limit: 500 })).map(run => run.id)
  expect(
    await pages(
      page => catalog.listRuns(page),
      5,
      () => sealedBackup(t, vms[3]!, 1),
    ),
  ).toEqual(runs)
  // A place is one in the order, not a row: that it names a VM which is not there does not matter.
  const from = placeAfter({ id: randomUUID(), name: 'vm 3 and a half' })
  expect((await catalog.listVms({ after: from })).map(vm => vm.name)).toEqual(['vm 4', 'vm 4', 'vm 5', 'vm 5', 'vm 6'])
})

test('what is no place is refused', async () => {
  const texts = [
    '',
    'x',
    '!',
    Buffer.from('[1,2]').toString('base64url'),
    Buffer.from('["2026-01-01T00:00:00.000Z","x"]').toString('base64url'),
  ]
  for (const after of [
    ...texts,
    placeAfter({ id: randomUUID(), name: 'a name' }),
    placeAfter({ id: randomUUID(), createdAt: '2026-13-41T99:00:00.000Z' }),
  ]) {
    await expect(t.catalog.listPoints(undefined, { after })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    await expect(t.catalog.listRuns({ after })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  }
  await expect(t.catalog.listVms({ after: placeAfter({ id: randomUUID(), name: 'a\0b' }) })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
})

test('the number of points of a VM follows its points', async () => {
  const counted = async (): Promise<number[]> => (await t.catalog.listVms()).map(vm => vm.points)
  const { rows } = await t.sql.query<{ points: number }>(
    `select (select count(*)::integer from varve.restore_points where vm_id = v.id) as points from varve.vms v order by v.name, v.id`,
  )
  expect(await counted()).toEqual(rows.map(row => row.points))
  await sealedBackup(t, vms[5]!, 1)
  expect((await t.catalog.getVm(vms[5]!)).points).toBe(1)
})
