import { randomUUID } from 'node:crypto'
import { type Check, ENDED_STATES, type Finding, type Image, type RestorePoint, type Run, type RunTotals } from '@varve/catalog-client'
import { predictionOf } from '@varve/planning'
import type { MemoryCatalog } from './memory-catalog.ts'

/** Stored bytes are this share of those read: a plausible look of compression. */
const COMPRESSED = 0.42
const BLOCK = 256 * 1024

/**
 * Let runs of a memory catalog come alive: they pass through the states in `ticks` steps of `tickMs` and end with a point. Names of VMs
 * choose another end: `…occupied…` fails with LEASE_OCCUPIED, `…damaged…` restores with damage, `…endless…` copies for ever.
 */
export function simulateRuns(memory: MemoryCatalog, { ticks, tickMs }: { readonly ticks: number; readonly tickMs: number }): () => void {
  const timers = new Set<NodeJS.Timeout>()

  function live(run: Run): void {
    let tick = 0
    const timer = setInterval(() => {
      const present = memory.runs.get(run.id)
      if (present === undefined || ENDED_STATES.includes(present.state)) {
        clearInterval(timer)
        timers.delete(timer)
        return
      }
      if (present.paused) return
      tick += 1
      memory.change(run.id, stepOf(memory, present, tick, ticks))
    }, tickMs)
    timers.add(timer)
  }

  /** A check of everything finds a pack missing and a snapshot too many; one of leaks only the latter. A sweep takes the snapshot away. */
  function check({ id, scope, sweep }: Check): void {
    const timer = setTimeout(() => {
      const about = { subject: 'snapshot-7', runId: null, platformId: null, message: 'on VM files-1' }
      const leak: Finding = { code: 'snapshot-of-ended-run', kind: 'leak', invariant: 7, ...about, swept: sweep }
      const broken: Finding = { ...leak, code: 'pack-missing', kind: 'broken', invariant: 1, subject: 'packs/aa/aa', swept: false }
      memory.endCheck(id, scope === 'all' ? [broken, leak] : [leak])
    }, tickMs)
    timers.add(timer)
  }

  memory.onRun = live
  memory.onCheck = check
  return () => {
    memory.onRun = () => {}
    memory.onCheck = () => {}
    for (const timer of timers) clearInterval(timer)
  }
}

function stepOf(memory: MemoryCatalog, run: Run, tick: number, ticks: number): Partial<Run> {
  const now = new Date().toISOString()
  if (tick === 1) return { state: 'preparing', startedAt: now }
  if (run.vmName.includes('occupied')) {
    const message = 'the platform says that another task holds the VM'
    return { state: 'failed', outcome: 'failed', reason: 'LEASE_OCCUPIED', message, endedAt: now }
  }
  if (run.kind === 'preview') return { state: 'succeeded', outcome: 'succeeded', endedAt: now, prediction: foretold(memory, run) }
  if (tick === 2 && run.kind === 'restore') {
    // The real planning gives a restore the images that it writes, without reasons.
    return { state: 'copying', targetPlatformVmId: 'vm-restored', ...copied(memory, run, 0) }
  }
  const endless = run.vmName.includes('endless')
  const part = endless ? 0.42 + tick / 10_000 : (tick - 2) / ticks
  if (part < 1) return { state: 'copying', ...copied(memory, run, part) }
  return { ...copied(memory, run, 1), ...ended(memory, run, now) }
}

function foretold(memory: MemoryCatalog, run: Run): Run['prediction'] {
  const { of } = run.options as { of: 'backup' | 'restore' }
  const disks = firstImages(memory, run).map(({ diskId, diskSize, kind, totals: { planned } }) => ({
    diskId,
    diskSize,
    kind,
    reason: kind === 'full' && of === 'backup' ? ('first' as const) : null,
    planned,
    read: planned,
    exact: true,
    stored: of === 'backup' ? Math.floor(planned * COMPRESSED) : 0,
    storedBasis: { from: 'vm', runs: 2 } as const,
    puts: of === 'backup' ? 12 : 0,
    gets: 7,
  }))
  return predictionOf(of, disks, { seconds: 42.5, basis: { from: 'vm', runs: 2 } })
}

function copied(memory: MemoryCatalog, run: Run, part: number): Pick<Run, 'images' | 'totals'> {
  const images = run.images.length > 0 ? run.images : firstImages(memory, run)
  const moved = images.map(image => ({ ...image, totals: totalsAt(image.totals, run.kind, part) }))
  return { images: moved, totals: sum(moved.map(({ totals }) => totals)) }
}

function totalsAt(totals: RunTotals, kind: Run['kind'], part: number): RunTotals {
  const bytes = Math.floor((totals.planned * part) / BLOCK) * BLOCK
  const zero = Math.floor(bytes * 0.1)
  const unchanged = kind === 'backup' ? Math.floor(bytes * 0.06) : 0
  return {
    ...totals,
    read: kind === 'backup' ? bytes : Math.floor(bytes * COMPRESSED),
    written: kind === 'backup' ? Math.floor((bytes - zero - unchanged) * COMPRESSED) : bytes - zero,
    unchanged,
    zero,
    rangesDone: Math.floor(totals.rangesTotal * part),
  }
}

function firstImages(memory: MemoryCatalog, run: Run): Image[] {
  const parent = [...memory.points.values()].filter(point => point.vmId === run.vmId).at(-1)
  const full = run.kind === 'restore' || parent === undefined || ('full' in run.options && run.options.full === true)
  return (memory.vms.get(run.vmId)?.disks ?? [])
    .filter(disk => disk.excluded === undefined)
    .map((disk, index) => {
      const planned = Math.ceil((disk.size * (full ? 0.6 : 0.02)) / BLOCK) * BLOCK
      return {
        id: randomUUID(),
        runId: run.id,
        diskId: disk.diskId,
        diskSize: disk.size,
        blockSize: BLOCK,
        kind: full ? 'full' : 'incremental',
        reason: run.kind === 'restore' || !full ? null : parent === undefined ? 'first' : 'requested',
        parentImageId: full ? null : (parent?.images[index]?.imageId ?? null),
        totals: {
          planned,
          read: 0,
          written: 0,
          unchanged: 0,
          zero: 0,
          rangesTotal: Math.ceil(planned / (256 * 1024 * 1024)),
          rangesDone: 0,
        },
      }
    })
}

function ended(memory: MemoryCatalog, run: Run, now: string): Partial<Run> {
  if (run.kind === 'restore') {
    if (!run.vmName.includes('damaged')) return { state: 'succeeded', outcome: 'succeeded', endedAt: now }
    const notes = ['virtio0: 262144 bytes at 1048576 are damaged in the repository (PACK_CORRUPT) and were left as a hole']
    return { state: 'succeeded-with-damage', outcome: 'succeeded-with-damage', endedAt: now, notes }
  }
  const point = pointOf(memory, { ...run, ...copied(memory, run, 1) }, now)
  memory.addPoint(point)
  return { state: 'succeeded', outcome: 'succeeded', endedAt: now, restorePointId: point.id }
}

function pointOf(memory: MemoryCatalog, run: Run, createdAt: string): RestorePoint {
  const parent = [...memory.points.values()].filter(point => point.vmId === run.vmId).at(-1)
  const full = run.images.every(({ kind }) => kind === 'full')
  return {
    id: randomUUID(),
    vmId: run.vmId,
    vmName: run.vmName,
    runId: run.id,
    createdAt,
    checkpointId: String((1n << 32n) + BigInt(memory.points.size + 1)),
    parentId: full ? null : (parent?.id ?? null),
    chainId: full || parent === undefined ? randomUUID() : parent.chainId,
    images: run.images.map(({ id, diskId, diskSize, blockSize, kind, reason, totals }) => ({
      imageId: id,
      diskId,
      diskSize,
      blockSize,
      kind,
      reason,
      read: totals.read,
      stored: totals.written,
      cbt: true,
    })),
    stored: run.totals.written,
  }
}

function sum(all: readonly RunTotals[]): RunTotals {
  const total = { planned: 0, read: 0, written: 0, unchanged: 0, zero: 0, rangesTotal: 0, rangesDone: 0 }
  for (const one of all) for (const key of Object.keys(total) as (keyof RunTotals)[]) total[key] += one[key]
  return total
}
