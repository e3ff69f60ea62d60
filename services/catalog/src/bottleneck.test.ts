import { Metrics } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bottleneckOf } from './bottleneck.ts'
import { addVm, sealedBackup, startTestCatalog, startTestPostgres, type TestDatabases } from './testing/catalog-fixture.ts'

let databases: TestDatabases
beforeAll(async () => {
  databases = await startTestPostgres()
})
afterAll(() => databases?.close())

test.each([
  [{ source: 0, throttle: 0, cpu: 0, store: 0 }, null],
  [{ source: 1, throttle: 0, cpu: 0, store: 0 }, 'source'],
  [{ source: 5, throttle: 9, cpu: 3, store: 8 }, 'throttle'],
  [{ source: 5, throttle: 0, cpu: 5, store: 5 }, 'source'],
  [{ source: 5, throttle: 0, cpu: 5, store: 6 }, 'store'],
] as const)('%o: %s', (times, most) => {
  expect(bottleneckOf(times)).toBe(most)
})

test('runs that ended are counted by their outcome and by their bottleneck', async () => {
  const metrics = new Metrics()
  const t = await startTestCatalog(await databases.create(), { metrics })
  try {
    const vmId = await addVm(t.catalog)
    await sealedBackup(t, vmId)
    const cancelled = await t.catalog.createBackup(vmId, {})
    await t.catalog.cancelRun(cancelled.id)
    await t.catalog.closeRun(cancelled.id)
    const text = await metrics.text()
    // Each of its ranges waited as long for the one as for the other.
    expect(text).toContain('varve_runs_bottleneck_total{kind="backup",bottleneck="source"} 1')
    expect(text).toContain('varve_runs_ended_total{kind="backup",outcome="cancelled"} 1')
    expect(text.match(/^varve_runs_bottleneck_total\{/gm)).toHaveLength(1)
  } finally {
    await t.close()
  }
})
