import { createCatalogClient } from '@varve/catalog-client'
import { afterAll, beforeAll, test } from 'vitest'
import {
  addVm,
  copyingBackup,
  rangeIds,
  result,
  startTestCatalog,
  startTestPostgres,
  type TestCatalog,
  type TestDatabases,
  TOKEN,
  take,
  until,
} from './testing/catalog-fixture.ts'

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

/** Everything the feed says, until stopped. */
function follow(url: string): { seen: string[]; stop(): Promise<void> } {
  const catalog = createCatalogClient({ url, token: TOKEN })
  const abort = new AbortController()
  const seen: string[] = []
  const reading = (async () => {
    for await (const { runId } of catalog.changes(abort.signal)) seen.push(runId)
  })()
  return {
    seen,
    async stop() {
      abort.abort()
      await reading
      await catalog.close()
    },
  }
}

test('a reader hears of runs under way when it comes, then of every change and of progress', async () => {
  const { run } = await copyingBackup(t, await addVm(t.catalog), 2)
  const feed = follow(t.url)
  await until(() => feed.seen.includes(run.id))
  const [first] = await rangeIds(t, run.id)
  const attempt = await take(t.catalog, first!)
  for (const change of [
    () => t.catalog.progressRange(first!, attempt, { read: 1, written: 0 }),
    () => t.catalog.completeRange(first!, attempt, result(attempt)),
    () => t.catalog.cancelRun(run.id),
    () => t.catalog.closeRun(run.id),
  ]) {
    feed.seen.length = 0
    await change()
    await until(() => feed.seen.includes(run.id))
  }
  await feed.stop()
})

test('the feed goes on when the database drops the listening connection and when the service is restarted', async () => {
  const databaseUrl = await databases.create()
  const one = await startTestCatalog(databaseUrl)
  const port = Number(new URL(one.url).port)
  const feed = follow(one.url)
  const run = await one.catalog.createBackup(await addVm(one.catalog), {})
  await until(() => feed.seen.includes(run.id))
  await one.sql.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'varve-catalog-listen' and datname = current_database()`,
  )
  feed.seen.length = 0
  await one.catalog.cancelRun(run.id)
  await until(() => feed.seen.includes(run.id))
  await one.close()
  feed.seen.length = 0
  const two = await startTestCatalog(databaseUrl, { listen: { host: '127.0.0.1', port } })
  await until(() => feed.seen.includes(run.id))
  await feed.stop()
  await two.close()
})
