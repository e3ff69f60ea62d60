import fc from 'fast-check'
import { MiB } from '../testing/catalog-fixture.ts'
import type { SeenRange } from './read-rows.ts'
import { type Call, isOver, type Model, pointOfImage, type RunModel } from './run-model.ts'

/** A call still without ids: `next` is what a worker would sensibly do now, a disturbance what may hurt just then, the others may come at any time. */
export interface Wish {
  readonly kind: 'next' | 'disturbance' | Call['call']
  readonly vm: number
  /** Where there is a choice: of a value, of a range, of an older run. */
  readonly n: number
  readonly m: number
}

const ANY_CALL: readonly Call['call'][] = [
  'createBackup',
  'createRestore',
  'startRun',
  'cancelRun',
  'closeRun',
  'requeue',
  'pauseRun',
  'resumeRun',
  'failRun',
  'recordResources',
  'recordSnapshot',
  'addImages',
  'addRanges',
  'planned',
  'dropPlan',
  'takeRange',
  'completeRange',
  'progressRange',
  'endAttempt',
  'seal',
]

export const wish: fc.Arbitrary<Wish> = fc.record({
  kind: fc.oneof(
    { weight: 6, arbitrary: fc.constant('next' as const) },
    { weight: 2, arbitrary: fc.constant('disturbance' as const) },
    { weight: 1, arbitrary: fc.constantFrom(...ANY_CALL) },
  ),
  vm: fc.nat(1),
  n: fc.nat(83),
  m: fc.nat(5),
})

const DISTURBANCES: Readonly<Record<string, readonly Call['call'][]>> = {
  preparing: ['recordResources', 'addRanges', 'recordSnapshot', 'addImages', 'addRanges', 'dropPlan', 'planned'],
  copying: [
    'completeRange',
    'takeRange',
    'endAttempt',
    'recordResources',
    'completeRange',
    'addRanges',
    'progressRange',
    'pauseRun',
    'planned',
    'requeue',
    'takeRange',
    'resumeRun',
  ],
  sealing: ['seal', 'seal', 'completeRange', 'cancelRun', 'failRun', 'requeue'],
  finishing: [
    'recordResources',
    'completeRange',
    'seal',
    'failRun',
    'takeRange',
    'cancelRun',
    'endAttempt',
    'planned',
    'addRanges',
    'progressRange',
  ],
}

/** Of a run that has ended, by who does not know it yet. */
const TOO_LATE = DISTURBANCES.finishing!

export interface World {
  readonly vms: readonly string[]
  readonly model: Model
  readonly ranges: readonly SeenRange[]
  /** Runs whose first job was given out: nobody works on the others. */
  readonly released: ReadonlySet<string>
  /** Different for each world: the database is shared. */
  readonly name: string
  /** The id of the point that a run seals, as its workers work it out from the run's. */
  pointOf(run: string, n: number): string
}

const DISKS = ['d0', 'd1']
const pick = <T>(list: readonly T[], n: number): T => list[n % list.length]!

/** The wish with ids of what is there; null where there is nothing for it yet. */
export function chooseCall({ kind: wished, vm: v, n, m }: Wish, world: World): Call | null {
  const { model, ranges, name } = world
  const vm = pick(world.vms, v)
  const ofVm = Object.entries(model.runs).filter(([, run]) => run.vm === vm)
  const live = ofVm.filter(([, run]) => run.state === 'finishing' || !isOver(run))
  // Mostly a live one; now and then one that has ended, or another live one.
  const [id, run] =
    (live.length > 0 && n % (wished === 'disturbance' ? 4 : 8) !== 3 ? pick(live, m) : ofVm[n % Math.max(1, ofVm.length)]) ?? []
  const points = Object.keys(model.points).filter(point => model.runs[model.points[point]!]!.vm === vm)
  const newKey = `${name} ${ofVm.length + (n % 3)}`
  const creating = (): Call =>
    points.length > 0 && m % 3 === 0
      ? { call: 'createRestore', vm, point: pick(points, n), target: n % 2 === 0 ? 'original' : 'new-vm', key: `r ${newKey}` }
      : { call: 'createBackup', vm, key: `b ${newKey}` }
  const kind = wished !== 'disturbance' ? wished : pick(DISTURBANCES[run?.state ?? ''] ?? TOO_LATE, n + m)
  if (kind === 'createBackup') return { call: kind, vm, key: `b ${newKey}` }
  if (kind === 'createRestore') {
    return points.length === 0
      ? null
      : { call: kind, vm, point: pick(points, n), target: m % 2 === 0 ? 'original' : 'new-vm', key: `r ${newKey}` }
  }
  if (id === undefined || run === undefined) return kind === 'next' ? creating() : null
  if (kind === 'next') return nextCall(id, run) ?? creating()

  const snapshot = pick([{}, { snapshotId: run.snapshotId }, { snapshotId: 's-other' }], m)
  const own = ranges.filter(range => range.run === id)
  switch (kind) {
    case 'startRun':
      return world.released.has(id) ? { call: kind, run: id } : null
    case 'cancelRun':
    case 'closeRun':
    case 'requeue':
    case 'pauseRun':
    case 'resumeRun':
      return { call: kind, run: id }
    case 'failRun':
      return { call: kind, run: id, code: pick(['LEASE_LOST', 'CANCELLED'], n) }
    case 'recordResources': {
      const resources = [
        { snapshotName: 'varve' },
        { snapshotId: pick(['s1', 's2'], m) },
        { snapshotId: null },
        { leaseId: pick(['l1', 'l2', null], m) },
        { snapshotName: null, snapshotId: null },
        { snapshotName: 'varve', snapshotId: 's1', leaseId: 'l1' },
      ]
      return {
        call: kind,
        run: id,
        resources: pick(resources, n),
        ...pick([{}, {}, { seenLease: run.leaseId }, { seenLease: 'l1' }], n + m),
      }
    }
    case 'recordSnapshot':
      return { call: kind, run: id, checkpointId: pick(['7', '8'], n), ...snapshot }
    case 'addImages':
      return { call: kind, run: id, disks: n % 3 === 0 ? DISKS : [pick(DISKS, n)], parent: parentOf(run, n), ...snapshot }
    case 'addRanges': {
      const images = Object.values(run.images).map(image => image.id!)
      if (images.length === 0) return null
      const list = [{ index: n % 3, bytes: Math.floor(n / 3) % 2 === 0 ? 2 * MiB : MiB }]
      return { call: kind, run: id, image: pick(images, m), ranges: list, ...snapshot }
    }
    case 'planned':
      return {
        call: kind,
        run: id,
        plan: { ...(n % 2 === 0 ? { ...snapshot, images: planOf(run) } : snapshot), ...(n % 5 === 0 ? { leaseId: 'l1' } : {}) },
      }
    case 'dropPlan':
      return { call: kind, run: id, snapshotId: n % 2 === 0 ? run.snapshotId : 's-other' }
    case 'takeRange':
      // One of few workers: the same one may ask again.
      return own.length === 0 ? null : taking(pick(own, n), `${name} ${m}`)
    case 'completeRange':
    case 'progressRange': {
      const [attempt, range] = attemptOf(n) ?? []
      if (attempt === undefined || range === undefined) return null
      return kind === 'completeRange' ? completing(range, attempt, m) : { ...placeOf(range), call: kind, attempt }
    }
    case 'endAttempt': {
      const [attempt] = attemptOf(n) ?? []
      return attempt === undefined ? null : { call: kind, run: id, attempt, end: pick(['failed', 'handed-back'] as const, m) }
    }
    case 'seal':
      return sealing(id, run, m === 0 ? 1 : 0)
  }

  function nextCall(runId: string, now: RunModel): Call | null {
    if (now.paused && n % 3 === 0) return { call: 'resumeRun', run: runId }
    switch (now.state) {
      case 'queued':
        return world.released.has(runId) ? { call: 'startRun', run: runId } : null
      case 'preparing':
        return nextOfPlan(runId, now)
      case 'copying': {
        const queued = ranges.filter(range => range.run === runId && range.state === 'queued')
        if (queued.length === 0) return { call: 'requeue', run: runId }
        const range = pick(queued, m)
        const open = Object.entries(model.attempts).find(
          ([, { image, index, outcome }]) => image === range.image && index === range.index && outcome === null,
        )
        return open === undefined ? taking(range, `${name} ${n}`) : completing(range, open[0], n)
      }
      case 'sealing':
        // Nothing that could be sealed: its worker gives up.
        if (now.checkpoint === null || Object.keys(now.images).length === 0)
          return { call: 'failRun', run: runId, code: 'POINT_INCOMPLETE' }
        return sealing(runId, now, 0)
      case 'finishing':
        if (now.leaseId !== null) return { call: 'recordResources', run: runId, resources: { leaseId: null } }
        if (now.snapshotName !== null) return { call: 'recordResources', run: runId, resources: { snapshotId: null, snapshotName: null } }
        return { call: 'closeRun', run: runId }
      default:
        return null
    }
  }

  function nextOfPlan(runId: string, now: RunModel): Call {
    const { snapshotId } = now
    if (now.kind === 'backup') {
      if (now.snapshotName === null) return { call: 'recordResources', run: runId, resources: { snapshotName: 'varve' } }
      if (snapshotId === null) return { call: 'recordResources', run: runId, resources: { snapshotId: 's1' } }
      if (now.checkpoint === null) return { call: 'recordSnapshot', run: runId, checkpointId: '7', snapshotId }
    }
    if (now.leaseId === null) return { call: 'recordResources', run: runId, resources: { leaseId: 'l1' } }
    const images = Object.values(now.images)
    if (images.length === 0) return { call: 'addImages', run: runId, disks: DISKS, parent: parentOf(now, n), snapshotId }
    const unplanned = images.find(image => Object.keys(image.ranges).length < 2)
    if (unplanned !== undefined && n !== 0) {
      return { call: 'addRanges', run: runId, image: unplanned.id!, ranges: [0, 1].map(index => ({ index, bytes: MiB })), snapshotId }
    }
    return { call: 'planned', run: runId, plan: { snapshotId, images: planOf(now) } }
  }

  /** An image of a sealed point of the VM; restores and fulls have none. */
  function parentOf(now: RunModel, choice: number): string | null {
    if (now.kind === 'restore' || choice % 2 === 0 || points.length === 0) return null
    return Object.values(model.runs[model.points[pick(points, choice)]!]!.images)[0]!.id
  }

  function planOf(now: RunModel): { imageId: string; ranges: number }[] {
    return Object.values(now.images).map(image => ({ imageId: image.id!, ranges: Object.keys(image.ranges).length }))
  }

  function placeOf({ run: runId, image, index, id: rangeId }: SeenRange) {
    return { run: runId, image, index, rangeId }
  }

  function taking(range: SeenRange, worker: string): Call {
    return { ...placeOf(range), call: 'takeRange', worker }
  }

  function completing(range: SeenRange, attempt: string, report: number): Call {
    return { ...placeOf(range), call: 'completeRange', attempt, report: 1 + (report % 6) }
  }

  /** Any try of the run, now and then with the range of another. */
  function attemptOf(choice: number): readonly [string, SeenRange] | undefined {
    const tries = Object.entries(model.attempts).filter(([, attempt]) => attempt.run === id)
    if (tries.length === 0) return undefined
    const [attempt, { image, index }] = pick(tries, choice)
    const range = choice % 13 === 12 ? pick(own, choice) : own.find(candidate => candidate.image === image && candidate.index === index)
    return range === undefined ? undefined : [attempt, range]
  }

  function sealing(runId: string, now: RunModel, other: number): Call {
    const images = Object.values(now.images)
    const parent = images.find(image => image.parent !== null)?.parent ?? null
    const parentPoint = pointOfImage(model, parent) ?? (points.length > 0 && n % 3 === 0 ? pick(points, n) : null)
    return { call: 'seal', run: runId, point: world.pointOf(runId, other), parentPoint, images: images.map(image => image.id!) }
  }
}
