import type { Prediction, Run } from '@varve/catalog-client'
import { KiB, MiB } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { noise } from '../support/pattern.ts'
import { type System, startSystem } from '../support/system.ts'

/** What a preview tells is what the run then reads, byte for byte; and a preview leaves nothing behind and changes nothing. */

const DISKS = [
  { id: 'virtio0', size: 64 * MiB },
  { id: 'virtio1', size: 300 * MiB + 192 * KiB },
]
const PRICES = { currency: 'EUR', perGibMonth: 0.5, perThousandPuts: 2, perThousandGets: 1, perGibRead: 0.25 }

interface Priced {
  readonly currency: string
  readonly run: number
  readonly perMonth: number
}
type Previewed = Run & {
  readonly prediction: (Prediction & { readonly price: Priced | null }) | null
  readonly actual: {
    readonly read: number
    readonly stored: number
    readonly puts: number
    readonly seconds: number
    readonly price: Priced | null
  } | null
}

let system: System
let vmId: string
let platformVmId: string

beforeAll(async () => {
  system = await startSystem()
  ;({ vmId, platformVmId } = await system.createVm('db-1', DISKS))
  await write('virtio0', 0, noise('a', 5 * MiB))
  // Single granules, far apart: most of their blocks are holes.
  for (let i = 0; i < 20; i++) await write('virtio1', i * 13 * MiB + 64 * KiB, noise(`piece ${i}`, 64 * KiB))
}, 60_000)

afterAll(async () => {
  await system?.close()
})

async function write(diskId: string, offset: number, bytes: Uint8Array): Promise<void> {
  const disk = await system.guest(platformVmId, diskId)
  await disk.write(offset, bytes)
  await disk.flush()
  await disk.close()
}

async function previewOf(path: string, body: object): Promise<Previewed> {
  const preview = await system.api<Previewed>('POST', `${path}/preview`, body)
  expect(preview, JSON.stringify(preview)).toMatchObject({ kind: 'preview', state: 'succeeded', images: [], totals: { read: 0 } })
  expect(await system.driver.listSnapshots(platformVmId, '')).toEqual([])
  const lease = await system.driver.createLease(platformVmId, 'backup', 60)
  await system.driver.releaseLease(lease.id)
  return preview
}

/** Preview, then the run; the run keeps what the preview found out. */
async function both(options: { full?: boolean } = {}): Promise<{ preview: Previewed; run: Previewed }> {
  const preview = await previewOf(`/v1/vms/${vmId}/backups`, options)
  const run = (await system.backup(vmId, options)) as Previewed
  expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
  expect(run.prediction).toMatchObject({ read: preview.prediction?.read, exact: true, previewId: preview.id })
  return { preview, run }
}

const kinds = (run: Previewed): unknown => run.prediction?.disks.map(({ kind, reason }) => [kind, reason])

test('a first backup, of a VM whose tracking is still off', async () => {
  const { preview, run } = await both()
  expect(kinds(preview)).toEqual([
    ['full', 'first'],
    ['full', 'first'],
  ])
  expect(preview.prediction).toMatchObject({
    of: 'backup',
    exact: true,
    read: 5 * MiB + 20 * 64 * KiB,
    secondsBasis: { from: 'default', runs: 0 },
    price: null,
  })
  expect(run.totals.read).toBe(preview.prediction?.read)
  expect(run.actual).toMatchObject({ read: run.totals.read, stored: run.totals.written, price: null })
  expect(run.actual!.puts).toBe(preview.prediction!.puts)
  // Only the backup turned tracking on.
  expect(run.notes).toContain('Changed block tracking was turned on for disk virtio0.')
  expect(preview.notes).toEqual([])
})

test('an incremental: single granules in blocks that are full, half full and empty, and what was trimmed', async () => {
  await write('virtio0', 1 * MiB + 64 * KiB, noise('b', 64 * KiB))
  await write('virtio0', 40 * MiB, noise('c', 64 * KiB))
  await write('virtio1', 0, noise('d', 64 * KiB))
  const disk = await system.guest(platformVmId, 'virtio1')
  await disk.trim(13 * MiB + 64 * KiB, 64 * KiB)
  await disk.close()
  const { preview, run } = await both()
  expect(kinds(preview)).toEqual([
    ['incremental', null],
    ['incremental', null],
  ])
  expect(preview.prediction).toMatchObject({ planned: 256 * KiB, secondsBasis: { from: 'vm', runs: 1 } })
  expect(preview.prediction?.disks.map(({ read }) => read)).toEqual([256 * KiB + 64 * KiB, 64 * KiB + 64 * KiB])
  expect(run.totals.read).toBe(preview.prediction?.read)
})

test('nothing changed: nothing to read', async () => {
  const { preview, run } = await both()
  expect(preview.prediction).toMatchObject({ read: 0, planned: 0, stored: 0, exact: true })
  expect(run.totals.read).toBe(0)
})

test('a full that is asked for, with prices', async () => {
  await system.api('PUT', '/v1/repository/prices', PRICES)
  const { preview, run } = await both({ full: true })
  expect(kinds(preview)).toEqual([
    ['full', 'requested'],
    ['full', 'requested'],
  ])
  expect(run.totals.read).toBe(preview.prediction?.read)
  const { stored, puts, gets, price } = preview.prediction!
  // One full of each disk was stored before.
  expect(preview.prediction?.disks.map(({ storedBasis }) => storedBasis)).toEqual([
    { from: 'disk', runs: 1 },
    { from: 'disk', runs: 1 },
  ])
  expect(Math.abs(stored / run.actual!.stored - 1)).toBeLessThan(0.1)
  expect(price).toEqual({
    currency: 'EUR',
    run: expect.closeTo((puts * 2 + gets) / 1000, 9),
    perMonth: expect.closeTo((stored / 1024 ** 3) * 0.5, 9),
  })
  expect(run.actual!.price).toMatchObject({ currency: 'EUR' })
})

test('tracking that was reset: the full that follows', async () => {
  await system.driver.setCbt(platformVmId, 'reset')
  const { preview, run } = await both()
  expect(kinds(preview)).toEqual([
    ['full', 'cbt-expired'],
    ['full', 'cbt-expired'],
  ])
  expect(run.images.map(({ reason }) => reason)).toEqual(['cbt-expired', 'cbt-expired'])
  expect(run.totals.read).toBe(preview.prediction?.read)
})

test('without tracking every disk is looked at in whole, and only data is read', async () => {
  await system.driver.setCbt(platformVmId, 'disable')
  const preview = await previewOf(`/v1/vms/${vmId}/backups`, { enableCbt: false })
  expect(kinds(preview)).toEqual([
    ['full', 'cbt-off'],
    ['full', 'cbt-off'],
  ])
  const run = await system.backup(vmId, { enableCbt: false })
  expect(run.totals.read).toBe(preview.prediction?.read)
})

test('restores: to a new VM, over the original, differential', async () => {
  const { restorePointId } = await system.backup(vmId)
  await write('virtio0', 2 * MiB, noise('e', 300 * KiB))
  const path = `/v1/restore-points/${restorePointId}/restores`
  await expect(previewOf(path, { target: 'original' })).rejects.toThrow('VM_NOT_OFF')
  await system.driver.power(platformVmId, 'off')
  for (const options of [{ target: 'new-vm' }, { target: 'original', differential: true }, { target: 'original' }] as const) {
    const preview = await previewOf(path, options)
    const run = (await system.restore(restorePointId!, options)) as Previewed
    expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
    expect(preview.prediction).toMatchObject({ of: 'restore', exact: true, stored: 0, puts: 0 })
    expect(run.totals.read, JSON.stringify(options)).toBe(preview.prediction?.read)
    expect(run.prediction).toMatchObject({ read: run.totals.read, previewId: preview.id })
    expect(preview.prediction!.gets).toBeGreaterThan(0)
    expect(preview.prediction!.price!.run).toBeCloseTo(preview.prediction!.gets / 1000 + (run.totals.read / 1024 ** 3) * 0.25, 9)
  }
  expect((await system.api<{ items: Run[] }>('GET', '/v1/runs?kind=preview')).items.length).toBeGreaterThan(8)
})

test('a run without a preview has a prediction of its own, and says that it is not exact', async () => {
  await system.driver.power(platformVmId, 'on')
  await write('virtio0', 50 * MiB, noise('f', 64 * KiB))
  const run = (await system.backup(vmId)) as Previewed
  expect(run.prediction).toMatchObject({ exact: false, previewId: null, planned: run.totals.planned })
  expect(run.prediction!.read).toBeGreaterThanOrEqual(run.totals.read)
})

test('a preview and a backup of one VM take turns, and a preview of no VM is told as such', async () => {
  const started = await system.startBackup(vmId, { full: true })
  await expect(system.api('POST', `/v1/vms/${vmId}/backups/preview`)).rejects.toMatchObject({ status: 409 })
  expect(await system.ended(started)).toMatchObject({ state: 'succeeded' })
  await expect(system.api('POST', '/v1/vms/00000000-0000-4000-8000-000000000000/backups/preview')).rejects.toMatchObject({ status: 404 })
})

test('after all of them everything holds together, and nothing is left', async () => {
  const { id } = await system.api<{ id: string }>('POST', '/v1/checks', { scope: 'all', sweep: false })
  for (;;) {
    const check = await system.api<{ endedAt: string | null; state: string; findings: unknown[] | null }>('GET', `/v1/checks/${id}`)
    if (check.endedAt !== null) {
      expect(check).toMatchObject({ state: 'done', findings: [] })
      break
    }
    await new Promise(resolve => setTimeout(resolve, 100))
  }
})
