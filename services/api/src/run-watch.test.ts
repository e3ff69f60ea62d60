import { createLogger } from '@varve/runtime'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { RunWatch } from './run-watch.ts'
import { MemoryCatalog } from './testing/memory-catalog.ts'

const log = createLogger('api-test', 'silent')
let memory: MemoryCatalog
let watch: RunWatch

beforeEach(async () => {
  memory = new MemoryCatalog()
  watch = new RunWatch({ catalog: memory.catalog, log, interval: 10 })
  const seen = Array.from({ length: 60 }, (_, at) => ({ platformVmId: `v${at}`, name: `v${at}`, power: 'on', exclusions: [], disks: [] }))
  await memory.reportVms('p', seen)
})
afterEach(() => watch.close())

async function backUp(at: number): Promise<string> {
  return (await memory.createBackup([...memory.vms.keys()][at] as string, {})).id
}

test('the end of a run is told even when many newer runs began meanwhile', async () => {
  const told: string[] = []
  const old = await backUp(0)
  watch.watch(undefined, run => run.id === old && told.push(run.state))
  await expect.poll(() => told).toEqual(['queued'])
  memory.change(old, { state: 'failed', endedAt: new Date().toISOString() })
  for (let at = 1; at < 60; at++) await backUp(at)
  await expect.poll(() => told).toEqual(['queued', 'failed'])
})

test('a run is told once for each change, however often it is looked at', async () => {
  const told: string[] = []
  const id = await backUp(0)
  const look = vi.spyOn(memory, 'getRun')
  const stop = watch.watch(id, run => told.push(run.state))
  await expect.poll(() => look.mock.calls.length).toBeGreaterThan(3)
  memory.change(id, { state: 'preparing' })
  await expect.poll(() => told).toEqual(['queued', 'preparing'])
  stop()
  const calls = look.mock.calls.length
  await new Promise(resolve => setTimeout(resolve, 50))
  expect(look.mock.calls.length - calls).toBeLessThanOrEqual(1)
})

test('a catalog that fails for a while is asked again', async () => {
  const told: string[] = []
  const id = await backUp(0)
  vi.spyOn(memory, 'getRun').mockRejectedValueOnce(new Error('away')).mockRejectedValueOnce(new Error('away'))
  watch.watch(id, run => told.push(run.state))
  await expect.poll(() => told).toEqual(['queued'])
})
