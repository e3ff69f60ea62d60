import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Catalog, NewImage, NewRange, RangeResult } from '@varve/catalog-client'
import type { JobName, JobPayloads } from '@varve/queue'
import { type Night, rangesOf } from './night-plan.ts'

const MiB = 2 ** 20
const BLOCK = 256 * 1024
/** Pages that a range of an incremental touches, each a reference of 64 bytes. */
const PAGES = 4
const EXTENTS = 16

/** What the parent process is told. Times are ms of the epoch. */
export type Event =
  | { readonly kind: 'planned'; readonly runId: string; readonly vm: number; readonly ranges: number; readonly at: number }
  | { readonly kind: 'served'; readonly runId: string; readonly at: number }
  | { readonly kind: 'ended'; readonly runId: string; readonly at: number }

export interface Simulation {
  readonly catalog: Catalog
  readonly night: Night
  /** What a range costs its worker, ms. */
  readonly rangeMs: number
  readonly tell: (event: Event) => void
}

/** The jobs of a backup as the services do them, call by call; only disk and repository are not there. */
export function simulatedWork(simulation: Simulation): { [Name in JobName]?: (payload: JobPayloads[Name]) => Promise<void> } {
  return {
    'prepare-backup': ({ runId }) => prepare(runId, simulation),
    'read-range': ({ runId, rangeId }) => readRange(runId, rangeId, simulation),
    'seal-restore-point': ({ runId }) => seal(runId, simulation),
    'finish-run': ({ runId }) => finish(runId, simulation),
  }
}

async function prepare(runId: string, { catalog, night, tell }: Simulation): Promise<void> {
  const run = await catalog.getRunForWork(runId)
  if (run.state !== 'queued' && run.state !== 'preparing') return
  await catalog.startRun(runId)
  const vm = Number(/\d+$/.exec(run.platformVmId)?.[0])
  const snapshotId = `snapshot-of-${runId}`
  await catalog.recordResources(runId, { snapshotName: `varve-${runId}` })
  await catalog.recordResources(runId, { snapshotId })
  const parent = await catalog.parentPoint(run.vmId)
  const checkpointId = String(BigInt(parent?.checkpointId ?? 2 ** 32) + 1n)
  await catalog.recordSnapshot(runId, { checkpointId, config: { name: run.vmName, cpu: 4, memory: 8 * 1024 * MiB }, snapshotId })
  await catalog.recordResources(runId, { leaseId: `lease-of-${runId}` })
  const plan = rangesOf(vm, night).map((ranges, disk) => ({ ranges, diskId: `virtio${disk}` }))
  const images = await catalog.addImages(
    runId,
    plan.map(({ diskId, ranges }) => newImage(diskId, ranges, parent)),
    snapshotId,
  )
  for (const [at, image] of images.entries()) {
    const ranges = Array.from({ length: plan[at]!.ranges }, (_, index) => newRange(image.id, index))
    await catalog.addRanges(runId, ranges, snapshotId)
  }
  const made = images.map((image, at) => ({ imageId: image.id, ranges: plan[at]!.ranges }))
  const at = Date.now()
  await catalog.planned(runId, { snapshotId, images: made })
  tell({ kind: 'planned', runId, vm, ranges: made.reduce((sum, { ranges }) => sum + ranges, 0), at })
}

function newImage(diskId: string, ranges: number, parent: Awaited<ReturnType<Catalog['parentPoint']>>): NewImage {
  const before = parent?.images.find(image => image.diskId === diskId)
  return {
    diskId,
    diskSize: ranges * PAGES * 256 * MiB,
    blockSize: BLOCK,
    ...(before === undefined || parent === null
      ? { kind: 'full', reason: 'first', parentImageId: null }
      : { kind: 'incremental', reason: null, parentImageId: before.imageId, since: parent.checkpointId }),
    cbt: true,
    sourceImageId: null,
  }
}

function newRange(imageId: string, index: number): NewRange {
  const first = index * PAGES
  const extents = Array.from({ length: EXTENTS }, (_, n) => ({ offset: (first * 256 + n * 64) * MiB, length: (1 + (n % 4)) * MiB }))
  return { imageId, index, firstPage: first, pageCount: PAGES, extents, bytes: extents.reduce((sum, { length }) => sum + length, 0) }
}

async function readRange(runId: string, rangeId: string, { catalog, rangeMs, tell }: Simulation): Promise<void> {
  const range = await catalog.takeRange(rangeId, randomUUID())
  if (range.attemptId === null) return
  await sleep(rangeMs * (0.5 + Math.random()))
  const { accepted } = await catalog.completeRange(rangeId, range.attemptId, resultOf(range.bytes, range.attemptId))
  if (accepted) tell({ kind: 'served', runId, at: Date.now() })
}

function resultOf(bytes: number, attemptId: string): RangeResult {
  const object = (kind: 'pack' | 'map', n: number, size: number) => {
    const id = `${attemptId}${n.toString(16).padStart(8, '0')}`
    return { key: `${kind}s/${id.slice(0, 2)}/${id}`, size, kind }
  }
  return {
    read: bytes,
    written: bytes / 4,
    unchanged: bytes / 8,
    zero: bytes / 8,
    pages: randomBytes(64 * PAGES).toString('base64'),
    objects: [object('pack', 0, bytes / 4), object('map', 1, PAGES * 12_000)],
    damage: [],
    time: { source: 100, throttle: 0, cpu: 200, store: 50 },
  }
}

async function seal(runId: string, { catalog }: Simulation): Promise<void> {
  const run = await catalog.getRunForWork(runId)
  if (run.state !== 'sealing') return
  let parentId: string | null = null
  const images = []
  for (const { id: imageId, parentImageId } of run.images) {
    await catalog.imagePages(imageId)
    if (parentImageId !== null) parentId = (await catalog.getImageRoot(parentImageId)).restorePointId
    images.push({ imageId, rootKey: `images/${imageId}.root`, merkleRoot: randomBytes(32).toString('hex'), cbt: true })
  }
  const restorePointId = randomUUID()
  const createdAt = run.startedAt ?? run.createdAt
  await catalog.seal(runId, { restorePointId, createdAt, manifestKey: `points/${run.vmId}/${restorePointId}.json`, parentId, images })
}

async function finish(runId: string, { catalog, tell }: Simulation): Promise<void> {
  const run = await catalog.getRunForWork(runId)
  if (run.state !== 'finishing') return
  await catalog.recordResources(runId, { leaseId: null })
  await catalog.recordResources(runId, { snapshotId: null, snapshotName: null })
  await catalog.closeRun(runId)
  tell({ kind: 'ended', runId, at: Date.now() })
}
