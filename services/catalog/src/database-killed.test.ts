import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres } from '@varve/postgres'
import { Closer } from '@varve/runtime'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { addVm, copyingBackup, rangeIds, result, startTestCatalog, until } from './testing/catalog-fixture.ts'

let closer: Closer
let dataDir: string
beforeEach(async () => {
  closer = new Closer()
  dataDir = await mkdtemp(join(tmpdir(), 'varve-catalog-test-'))
  closer.add('folder', () => rm(dataDir, { recursive: true, force: true }))
})
afterEach(() => closer.close())

test('the database is killed in the middle of reports and comes back: callers wait, nothing is lost or counted twice', {
  timeout: 90_000,
}, async () => {
  const RANGES = 60
  let postgres = await startPostgres({ dataDir })
  closer.add('postgres', () => postgres.close())
  const t = await startTestCatalog(postgres.url, { window: 8, reconcileIntervalS: 1, silenceS: 1 })
  closer.add('catalog', () => t.close())
  const { run } = await copyingBackup(t, await addVm(t.catalog), RANGES)
  const all = await rangeIds(t, run.id)

  let stop = false
  let killed = false
  /** Works through what the queue brings, like block-readers do; the same job may come twice. */
  const done = new Set<string>()
  const worker = async (): Promise<void> => {
    for (let at = 0; !stop; ) {
      const job = t.queue.added[at++]
      if (job === undefined) {
        at = 0
        await new Promise(resolve => setTimeout(resolve, 10))
        continue
      }
      if (job.name !== 'read-range' || done.has(job.id)) continue
      const id = job.payload.rangeId!
      const { attemptId } = await t.catalog.takeRange(id, `worker ${id}`)
      if (attemptId !== null) await t.catalog.completeRange(id, attemptId, result(attemptId))
      done.add(job.id)
      if (done.size === 20 && !killed) {
        killed = true
        process.kill(postgres.pid, 'SIGKILL')
        await postgres.close()
        postgres = await startPostgres({ dataDir })
      }
    }
  }
  const workers = Array.from({ length: 6 }, worker)
  await until(() => done.size === RANGES)
  stop = true
  await Promise.all(workers)
  expect(killed).toBe(true)
  expect(await t.catalog.getRun(run.id)).toMatchObject({ state: 'sealing', totals: { rangesDone: RANGES, written: RANGES * 1000 } })
  expect(await t.catalog.runObjects(run.id)).toHaveLength(2 * RANGES)
  expect([...done].sort()).toEqual([...all].sort())
  // Also the feed and the relay found their way back.
  await until(() => t.queue.ids('seal-restore-point').length > 0)
})
