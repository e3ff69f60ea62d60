import { randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { migrate, waitForDatabase } from './migrations.ts'
import {
  addVm,
  complete,
  copyingBackup,
  log,
  rangeIds,
  sealedBackup,
  startTestCatalog,
  startTestPostgres,
  type TestDatabases,
} from './testing/catalog-fixture.ts'
import { dumpSchema } from './testing/schema-dump.ts'

let databases: TestDatabases
beforeAll(async () => {
  databases = await startTestPostgres()
})
afterAll(() => databases?.close())

async function withClient<Result>(url: string, body: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await body(client)
  } finally {
    await client.end()
  }
}

test('the migrations give the schema that schema.sql shows', async () => {
  const url = await databases.create()
  await migrate(url, log)
  const dump = await withClient(url, dumpSchema)
  const file = fileURLToPath(new URL('../schema.sql', import.meta.url))
  if (process.env.VARVE_UPDATE_SCHEMA === '1') await writeFile(file, dump)
  expect(dump).toBe(await readFile(file, 'utf8'))
})

test('several instances that start at once migrate once', async () => {
  const url = await databases.create()
  const applied = await Promise.all(Array.from({ length: 4 }, () => migrate(url, log)))
  expect(applied.flat()).toEqual([
    '0001_catalog',
    '0002_platform_transport',
    '0003_planned_since',
    '0004_attempts_limits_checks',
    '0005_ended_runs_own_nothing',
    '0006_states',
    '0007_scale',
    '0008_dispatch',
    '0009_throttle_time',
    '0010_quiet_reports',
    '0011_previews',
    '0012_point_images',
  ])
  expect(await migrate(url, log)).toEqual([])
})

test('a database of a newer version is refused with a clear line', async () => {
  const url = await databases.create()
  await migrate(url, log)
  await withClient(url, c => c.query(`insert into varve.migrations (name, run_on) values ('0099_from_the_future', now())`))
  await expect(migrate(url, log)).rejects.toMatchObject({
    code: 'CATALOG_SCHEMA_NEWER',
    message: expect.stringContaining('0099_from_the_future'),
  })
})

test('a database that refuses us ends the waiting at once; an absent one is waited for', async () => {
  const url = await databases.create()
  await expect(waitForDatabase(url.replace(/\/t[0-9a-f]+\?/, '/absent?'), log)).rejects.toMatchObject({ code: 'CATALOG_UNREACHABLE' })
  const stop = new AbortController()
  const waiting = waitForDatabase('postgres://varve@127.0.0.1:1/varve', log, stop.signal)
  setTimeout(() => stop.abort(new Error('stopped')), 300)
  await expect(waiting).rejects.toThrow('stopped')
})

test('the database itself refuses what the states do not allow', async () => {
  const t = await startTestCatalog(await databases.create())
  try {
    const { run, imageId } = await copyingBackup(t, await addVm(t.catalog), 2)
    const set = (assignments: string): Promise<unknown> => t.sql.query(`update varve.runs set ${assignments} where id = $1`, [run.id])
    await expect(set(`state = 'queued'`)).rejects.toThrow(/cannot go from copying to queued/)
    await expect(set(`state = 'finishing'`)).rejects.toThrow(/runs_outcome_when_finishing/)
    await expect(set(`state = 'succeeded', outcome = 'succeeded', ended_at = now()`)).rejects.toThrow(/cannot go/)
    await expect(set(`state = 'finishing', outcome = 'succeeded'`)).rejects.toThrow(/has no restore point/)
    await expect(set(`state = 'finishing', outcome = 'failed'`)).rejects.toThrow(/runs_failure_has_reason/)
    await expect(
      t.sql.query(`insert into varve.runs (kind, vm_id, platform_id, options) select kind, vm_id, platform_id, options from varve.runs`),
    ).rejects.toThrow(/runs_one_active_per_vm/)
    await expect(
      t.sql.query(
        `insert into varve.images (run_id, position, disk_id, disk_size, block_size, kind, parent_image_id, cbt)
         values ($1, 9, 'x', 1, 512, 'incremental', $2, true)`,
        [run.id, imageId],
      ),
    ).rejects.toThrow(/images_parent_is_sealed/)
    await expect(t.sql.query(`update varve.ranges set state = 'done' where image_id = $1`, [imageId])).rejects.toThrow(
      /ranges_done_has_report/,
    )
  } finally {
    await t.close()
  }
})

test('the database itself refuses a point that lacks a root or a range', async () => {
  const t = await startTestCatalog(await databases.create())
  try {
    const { run, imageId } = await copyingBackup(t, await addVm(t.catalog), 2)
    const pointId = randomUUID()
    /** Everything that seal() writes, except what is switched off. */
    const sealByHand = async (withRoot: boolean): Promise<void> => {
      await withClient(t.databaseUrl, async c => {
        await c.query('begin')
        const chain = await c.query<{ id: string }>(`insert into varve.chains (vm_id) values ($1) returning id`, [run.vmId])
        await c.query(
          `insert into varve.restore_points (id, vm_id, run_id, chain_id, created_at, checkpoint_id, manifest_key, stored)
           values ($1, $2, $3, $4, now(), '1', 'm', 0)`,
          [pointId, run.vmId, run.id, chain.rows[0]?.id],
        )
        if (withRoot) await c.query(`insert into varve.restore_point_images values ($1, $2, 'root', 'ab', true)`, [imageId, pointId])
        await c.query(`update varve.runs set state = 'finishing', outcome = 'succeeded' where id = $1`, [run.id])
        await c.query('commit')
      })
    }
    await expect(sealByHand(true)).rejects.toThrow(/is not complete/)
    for (const id of await rangeIds(t, run.id)) await complete(t.catalog, id)
    await expect(sealByHand(false)).rejects.toThrow(/is not complete/)
    await sealByHand(true)
    expect(await t.catalog.parentPoint(run.vmId)).toMatchObject({ restorePointId: pointId })
  } finally {
    await t.close()
  }
})

test('points of an older catalog are given what lists say of their images', async () => {
  const t = await startTestCatalog(await databases.create())
  try {
    const vmId = await addVm(t.catalog)
    const { pointId } = await sealedBackup(t, vmId)
    const before = await t.catalog.getPoint(pointId)
    expect(before.images).not.toEqual([])
    await t.sql.query(`
      drop trigger restore_points_images_stay on varve.restore_points;
      drop index varve.restore_points_by_vm_time;
      drop trigger restore_points_copy_images on varve.restore_points;
      drop function varve.copy_point_images;
      drop function varve.point_images;
      alter table varve.restore_points drop column images`)
    await t.sql.query(await readFile(fileURLToPath(new URL('../migrations/0012_point_images.sql', import.meta.url)), 'utf8'))
    expect(await t.catalog.getPoint(pointId)).toEqual(before)
  } finally {
    await t.close()
  }
})
