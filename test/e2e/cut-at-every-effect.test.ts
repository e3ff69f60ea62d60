import { randomBytes } from 'node:crypto'
import type { RestoreOptions, Run } from '@varve/catalog-client'
import type { JobName } from '@varve/queue'
import { KiB, MiB, sleep } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { addCutVm, type CutVm, type CutWorld, diskOf, startCutWorld } from '../support/cut-world.ts'

/**
 * Invariant 7, on real parts: each job handler is cut off at a step (before an effect, or after it and before its answer), delivered again to two processes at
 * once, and the run goes on to its end: the same plan, the same bytes, and nothing left on the platform.
 *
 * VARVE_CUT_STEP=1 goes over every step of every handler; every fifth otherwise, beginning anywhere.
 */

const STRIDE = Number(process.env.VARVE_CUT_STEP ?? 5)
const FIRST = STRIDE === 1 ? 1 : 1 + Math.floor(Math.random() * STRIDE)
const SIZE = 4 * MiB
const signal = new AbortController().signal
const BLOCK = 64 * KiB

let world: CutWorld
let vm: CutVm
beforeAll(async () => {
  world = await startCutWorld()
  vm = await addCutVm(world, SIZE)
  console.log(`steps ${FIRST}, ${FIRST + STRIDE}, ...`)
})
afterAll(() => world?.close())

const where: string[] = []

/** Every job of a run in turn, each cut off at step `n`. @returns whether any still was */
async function throughAllJobs(run: Run, n: number): Promise<boolean> {
  let cut = false
  const deliver = async (name: JobName, rangeId?: string): Promise<void> => {
    const at = await world.deliver(name, rangeId === undefined ? { runId: run.id } : { runId: run.id, rangeId }, n)
    if (at !== null) where.push(`${name} ${at}`)
    cut ||= at !== null
  }
  await deliver(`prepare-${run.kind}`)
  for (let left = 1000; (await world.catalog.getRun(run.id)).state === 'copying' && left > 0; left--) {
    const { rows } = await world.sql.query<{ id: string }>(
      `select id from varve.ranges where run_id = $1 and state = 'queued' order by index limit 1`,
      [run.id],
    )
    // Given out by the dispatcher, a moment later.
    if (rows[0] === undefined) await sleep(20, signal)
    else await deliver(run.kind === 'backup' ? 'read-range' : 'write-range', rows[0].id)
  }
  if (run.kind === 'backup') await deliver('seal-restore-point')
  await deliver('finish-run')
  return cut
}

/** No snapshot, and the VM not locked. */
async function expectNothingLeft(platformVmId: string): Promise<void> {
  expect(await world.driver.listSnapshots(platformVmId, 'varve')).toEqual([])
  const lease = await world.driver.createLease(platformVmId, 'backup', 60)
  await world.driver.releaseLease(lease.id)
}

/** The disk as the repository has it. */
async function stored(rootKey: string): Promise<Buffer> {
  const disk = Buffer.alloc(SIZE)
  const root = await world.repository.getRoot(rootKey)
  for (const page of await world.repository.getPages([...root.pages])) {
    const requests = []
    for (let entry = 0; entry < page.blockCount; entry++) {
      if (!page.isZero(entry)) requests.push({ index: page.pageIndex * 1024 + entry, page, entry })
    }
    for await (const { index, bytes } of world.repository.readBlocks(requests)) disk.set(bytes!, index * BLOCK)
  }
  return disk
}

async function backUp(n: number): Promise<{ run: Run; cut: boolean }> {
  const made = await world.catalog.createBackup(vm.vmId, {})
  const cut = await throughAllJobs(made, n)
  return { run: await world.catalog.getRun(made.id), cut }
}

const NEVER = Number.MAX_SAFE_INTEGER

test('a backup', { timeout: 30 * 60_000 }, async () => {
  await vm.write(0, randomBytes(3 * MiB))
  expect((await backUp(NEVER)).run.images.map(image => image.kind)).toEqual(['full'])
  const points = new Set<string>()
  for (let n = FIRST; ; n += STRIDE) {
    const offset = (n % 40) * BLOCK
    await vm.write(offset, randomBytes(2 * BLOCK))
    const { run, cut } = await backUp(n)
    const at = where.slice(-4).join('; ')
    expect({ at, state: run.state, reason: run.reason }).toEqual({ at, state: 'succeeded', reason: null })
    // The same plan as without a cut: what changed, and no full.
    expect({ at, images: run.images.map(({ kind, totals }) => [kind, totals.planned]) }).toEqual({
      at,
      images: [['incremental', 2 * BLOCK]],
    })
    const { rootKey } = await world.catalog.getImageRoot(run.images[0]!.id)
    expect((await stored(rootKey)).equals(await vm.read()), at).toBe(true)
    points.add(run.restorePointId!)
    await expectNothingLeft(vm.platformVmId)
    if (!cut) break
  }
  const manifests = await world.repository.listManifests(vm.vmId)
  expect(manifests).toHaveLength((await world.catalog.listPoints(vm.vmId)).length)
})

const RESTORES: readonly RestoreOptions[] = [
  { target: 'original' },
  { target: 'original', differential: true },
  { target: 'new-vm', name: 'restored' },
]

test.each(RESTORES)('a restore $target $differential', { timeout: 30 * 60_000 }, async options => {
  const { run: backup } = await backUp(NEVER)
  const content = await vm.read()
  for (let n = FIRST; ; n += STRIDE) {
    await vm.write((n % 40) * BLOCK, randomBytes(3 * BLOCK))
    const made = await world.catalog.createRestore(backup.restorePointId!, options)
    const cut = await throughAllJobs(made, n)
    const run = await world.catalog.getRun(made.id)
    const at = where.slice(-3).join('; ')
    expect({ at, state: run.state, reason: run.reason }).toEqual({ at, state: 'succeeded', reason: null })
    const target = run.targetPlatformVmId!
    expect((await diskOf(world.local, target, SIZE).read()).equals(content), at).toBe(true)
    await expectNothingLeft(target)
    if (options.target === 'new-vm') await world.driver.deleteVm(target)
    const vms = []
    for await (const { id } of world.driver.listVms()) vms.push(id)
    expect(vms, at).toEqual([vm.platformVmId])
    if (!cut) break
  }
})

test('each job was cut', () => {
  const jobs = ['prepare-backup', 'read-range', 'seal-restore-point', 'prepare-restore', 'write-range', 'finish-run']
  expect(jobs.filter(job => !where.some(at => at.startsWith(`${job} `)))).toEqual([])
})
