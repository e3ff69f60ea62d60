import type { Outcome, RunKind, RunState } from '@varve/catalog-client'

/**
 * The slow, obvious model of the catalog (DESIGN.md section 6): what each call does to runs, and what it answers. Pure and immutable. Which ranges
 * of a plan are queued is the dispatching's business and not predicted here; the invariants bound it.
 */
export interface Model {
  readonly runs: Readonly<Record<string, RunModel>>
  /** Idempotency keys, the runs they made and what was asked for. */
  readonly keys: Readonly<Record<string, { readonly run: string; readonly request: string }>>
  /** Sealed points by id, with the run that sealed each. */
  readonly points: Readonly<Record<string, string>>
}

export interface RunModel {
  readonly kind: RunKind
  readonly vm: string
  /** Does it keep other runs off its VM? */
  readonly exclusive: boolean
  readonly state: RunState
  readonly outcome: Outcome | null
  readonly cancel: boolean
  readonly planned: boolean
  readonly snapshotName: string | null
  readonly snapshotId: string | null
  readonly leaseId: string | null
  readonly checkpoint: string | null
  /** By disk. */
  readonly images: Readonly<Record<string, ImageModel>>
}

export interface ImageModel {
  /** Unknown for those added in the batch under way. */
  readonly id: string | null
  readonly parent: string | null
  /** By index; what tells one from another, and the report that was accepted. */
  readonly ranges: Readonly<Record<number, { readonly bytes: number; readonly report: number | null }>>
}

export const EMPTY: Model = { runs: {}, keys: {}, points: {} }
export const NEW_RUN: Omit<RunModel, 'kind' | 'vm' | 'exclusive'> = {
  state: 'queued',
  outcome: null,
  cancel: false,
  planned: false,
  snapshotName: null,
  snapshotId: null,
  leaseId: null,
  checkpoint: null,
  images: {},
}

export interface Plan {
  readonly snapshotId?: string | null
  readonly images?: readonly { readonly imageId: string; readonly ranges: number }[]
}

/** A call as it is made, all ids as they were known before. */
export type Call =
  | { readonly call: 'createBackup'; readonly vm: string; readonly key: string }
  | {
      readonly call: 'createRestore'
      readonly vm: string
      readonly point: string
      readonly target: 'original' | 'new-vm'
      readonly key: string
    }
  | { readonly call: 'startRun' | 'cancelRun' | 'closeRun' | 'requeue'; readonly run: string }
  | { readonly call: 'failRun'; readonly run: string; readonly code: string }
  | {
      readonly call: 'recordResources'
      readonly run: string
      readonly resources: Readonly<Partial<Record<'snapshotName' | 'snapshotId' | 'leaseId', string | null>>>
    }
  | { readonly call: 'recordSnapshot'; readonly run: string; readonly checkpointId: string; readonly snapshotId?: string | null }
  | {
      readonly call: 'addImages'
      readonly run: string
      readonly disks: readonly string[]
      readonly parent: string | null
      readonly snapshotId?: string | null
    }
  | {
      readonly call: 'addRanges'
      readonly run: string
      readonly image: string
      readonly ranges: readonly { readonly index: number; readonly bytes: number }[]
      readonly snapshotId?: string | null
    }
  | { readonly call: 'planned'; readonly run: string; readonly plan: Plan }
  | { readonly call: 'dropPlan'; readonly run: string; readonly snapshotId: string | null }
  | {
      readonly call: 'completeRange'
      readonly run: string
      readonly image: string
      readonly index: number
      readonly rangeId: string
      /** Was it queued before? */
      readonly queued: boolean
      readonly report: number
    }
  | { readonly call: 'progressRange'; readonly run: string; readonly image: string; readonly index: number; readonly rangeId: string }
  | {
      readonly call: 'seal'
      readonly run: string
      readonly point: string
      readonly parentPoint: string | null
      readonly images: readonly string[]
    }

/** `ok`, `ok <what>`, or the code of the error. `unknown`: the connection was lost, so it may have been done or not. */
export type Answer = string

export const isOver = (run: RunModel): boolean => !['queued', 'preparing', 'copying', 'sealing'].includes(run.state)
const hasEnded = (run: RunModel): boolean => isOver(run) && run.state !== 'finishing'
/** Reports of every third number tell damage. */
export const isDamaged = (report: number): boolean => report % 3 === 0

type Step = readonly [Answer, Model]

/** Every answer that the call may get, with what is then the state. Given the id that a new run got. */
export function step(m: Model, call: Call, newRunId: string): readonly Step[] {
  if (call.call === 'createBackup' || call.call === 'createRestore') return [create(m, call, newRunId)]
  const run = m.runs[call.run]
  if (run === undefined) return [['NOT_FOUND', m]]
  const stay = (answer: Answer): Step => [answer, m]
  const set = (change: Partial<RunModel>, answer: Answer = 'ok'): Step => [answer, withRun(m, call.run, { ...run, ...change })]
  const refuse = (): Step => stay(isOver(run) ? 'RUN_ENDED' : 'CONFLICT')
  const finish = (outcome: Outcome, change: Partial<RunModel> = {}): Step => set({ ...change, state: 'finishing', outcome })
  const otherSnapshot = (given: string | null | undefined): boolean => given !== undefined && !isOver(run) && given !== run.snapshotId

  switch (call.call) {
    case 'startRun':
      return [run.state === 'queued' || run.state === 'preparing' ? set({ state: 'preparing' }) : refuse()]
    case 'cancelRun':
      if (isOver(run)) return [stay('ok')]
      return [run.state === 'queued' || run.state === 'copying' ? finish('cancelled', { cancel: true }) : set({ cancel: true })]
    case 'failRun':
      return [isOver(run) ? stay('ok') : finish(call.code === 'CANCELLED' ? 'cancelled' : 'failed')]
    case 'closeRun':
      if (run.state === 'finishing') return [set({ state: run.outcome! })]
      return [isOver(run) ? stay('ok') : refuse()]
    case 'requeue':
      return [stay('ok')]
    case 'recordResources':
      return [recordResources(m, call.run, run, call.resources)]
    case 'recordSnapshot':
      if (otherSnapshot(call.snapshotId)) return [stay('PLAN_CHANGED')]
      if (run.state !== 'preparing') return [run.checkpoint === call.checkpointId && !isOver(run) ? stay('ok') : refuse()]
      return [
        set({ checkpoint: call.checkpointId, ...(run.checkpoint !== null && run.checkpoint !== call.checkpointId ? { images: {} } : {}) }),
      ]
    case 'addImages': {
      if (isOver(run)) return [stay('RUN_ENDED')]
      if (otherSnapshot(call.snapshotId)) return [stay('PLAN_CHANGED')]
      const missing = call.disks.filter(disk => run.images[disk] === undefined)
      if (run.state !== 'preparing') return [missing.length === 0 ? stay('ok') : refuse()]
      const added = Object.fromEntries(missing.map(disk => [disk, { id: null, parent: call.parent, ranges: {} }]))
      return [set({ images: { ...run.images, ...added } })]
    }
    case 'addRanges': {
      if (isOver(run)) return [stay('RUN_ENDED')]
      if (otherSnapshot(call.snapshotId)) return [stay('PLAN_CHANGED')]
      const [disk, image] = imageById(run, call.image) ?? []
      if (run.state !== 'preparing') {
        return [image !== undefined && call.ranges.every(({ index }) => image.ranges[index] !== undefined) ? stay('ok') : refuse()]
      }
      if (disk === undefined || image === undefined) return [stay('PLAN_CHANGED')]
      if (call.ranges.some(({ index, bytes }) => (image.ranges[index]?.bytes ?? bytes) !== bytes)) return [stay('PLAN_CHANGED')]
      const added = Object.fromEntries(call.ranges.map(({ index, bytes }) => [index, { bytes, report: null }]))
      return [set({ images: { ...run.images, [disk]: { ...image, ranges: { ...image.ranges, ...added } } } })]
    }
    case 'planned': {
      if (otherSnapshot(call.plan.snapshotId)) return [stay('PLAN_CHANGED')]
      if (run.planned) return [stay('ok')]
      if (run.state !== 'preparing') return [refuse()]
      if (call.plan.images !== undefined && !isThePlan(run, call.plan.images)) return [stay('PLAN_CHANGED')]
      if (run.cancel) return [finish('cancelled', { planned: true })]
      return [[...afterCopying(m, call.run, { ...run, planned: true, state: 'copying' })]]
    }
    case 'dropPlan':
      return [run.state === 'preparing' && run.snapshotId === call.snapshotId ? set({ images: {} }) : stay('ok')]
    case 'completeRange': {
      const [disk, image] = imageById(run, call.image) ?? []
      const range = image?.ranges[call.index]
      if (disk === undefined || image === undefined || range === undefined) return [stay('NOT_FOUND')]
      if (range.report !== null) return [stay(`ok ${range.report === call.report}`)]
      if (run.state !== 'copying') return [refuse()]
      const ranges = { ...image.ranges, [call.index]: { ...range, report: call.report } }
      const [, after] = afterCopying(m, call.run, { ...run, images: { ...run.images, [disk]: { ...image, ranges } } })
      return call.queued ? [['ok true', after]] : [['ok true', after], stay('CONFLICT')]
    }
    case 'progressRange':
      if (imageById(run, call.image)?.[1].ranges[call.index] === undefined) return [stay('NOT_FOUND')]
      return [stay(isOver(run) ? 'RUN_ENDED' : `ok ${run.cancel}`)]
    case 'seal':
      return [seal(m, call, run)]
  }
}

function withRun(m: Model, id: string, run: RunModel): Model {
  return { ...m, runs: { ...m.runs, [id]: run } }
}

function imageById(run: RunModel, id: string): readonly [string, ImageModel] | undefined {
  return Object.entries(run.images).find(([, image]) => image.id === id)
}

function create(m: Model, call: Extract<Call, { key: string }>, newRunId: string): Step {
  const before = m.keys[call.key]
  const request = call.call === 'createBackup' ? call.vm : `${call.point} ${call.target}`
  if (before !== undefined) return [before.request === request ? `ok ${before.run}` : 'CONFLICT', m]
  const kind = call.call === 'createBackup' ? 'backup' : 'restore'
  const exclusive = call.call === 'createBackup' || call.target === 'original'
  if (exclusive && Object.values(m.runs).some(run => run.vm === call.vm && run.exclusive && !hasEnded(run))) return ['CONFLICT', m]
  const run: RunModel = { ...NEW_RUN, kind, vm: call.vm, exclusive }
  return [`ok ${newRunId}`, withRun({ ...m, keys: { ...m.keys, [call.key]: { run: newRunId, request } } }, newRunId, run)]
}

function recordResources(m: Model, id: string, run: RunModel, given: Extract<Call, { call: 'recordResources' }>['resources']): Step {
  const names = (Object.keys(given) as (keyof typeof given)[]).filter(name => given[name] !== run[name])
  if (names.length === 0) return ['ok', m]
  if (hasEnded(run)) return ['RUN_ENDED', m]
  if (run.planned && !isOver(run) && names.includes('snapshotId')) return ['PLAN_CHANGED', m]
  const after: RunModel = { ...run, ...given }
  const made = names.filter(name => given[name] !== null)
  const refused =
    (made.includes('leaseId') && run.state === 'queued') ||
    (made.some(name => name !== 'leaseId') && run.state !== 'preparing' && run.state !== 'finishing') ||
    (after.snapshotId !== null && after.snapshotName === null) ||
    (after.snapshotName === null && run.snapshotName !== null && !isOver(run)) ||
    (after.snapshotId === null && run.snapshotId !== null && run.state === 'queued')
  if (refused) return ['CONFLICT', m]
  const drops = run.state === 'preparing' && run.snapshotId !== null && names.includes('snapshotId')
  return [run.state === 'finishing' && made.length > 0 ? 'RUN_ENDED' : 'ok', withRun(m, id, drops ? { ...after, images: {} } : after)]
}

function isThePlan(run: RunModel, images: NonNullable<Plan['images']>): boolean {
  const stored = Object.values(run.images)
  const given = new Map(images.map(({ imageId, ranges }) => [imageId, ranges]))
  return stored.length === images.length && stored.every(({ id, ranges }) => id !== null && given.get(id) === Object.keys(ranges).length)
}

/** A run that is copying, moved on when nothing is left. */
function afterCopying(m: Model, id: string, run: RunModel): Step {
  const ranges = Object.values(run.images).flatMap(image => Object.values(image.ranges))
  if (ranges.some(({ report }) => report === null)) return ['ok', withRun(m, id, run)]
  if (run.kind === 'backup') return ['ok', withRun(m, id, { ...run, state: 'sealing' })]
  const damaged = ranges.some(({ report }) => isDamaged(report!))
  return ['ok', withRun(m, id, { ...run, state: 'finishing', outcome: damaged ? 'succeeded-with-damage' : 'succeeded' })]
}

function seal(m: Model, call: Extract<Call, { call: 'seal' }>, run: RunModel): Step {
  const sealed = Object.entries(m.points).find(([, runId]) => runId === call.run)
  if (sealed !== undefined) return [sealed[0] === call.point ? 'ok' : 'CONFLICT', m]
  if (run.state !== 'sealing') return [isOver(run) ? 'RUN_ENDED' : 'CONFLICT', m]
  if (run.checkpoint === null) return ['CONFLICT', m]
  const images = Object.values(run.images)
  if (images.length !== call.images.length || !images.every(({ id }) => id !== null && call.images.includes(id))) return ['BAD_REQUEST', m]
  const parents = images.map(({ parent }) => pointOfImage(m, parent)).filter(parent => parent !== null)
  if (parents.some(parent => parent !== call.parentPoint)) return ['BAD_REQUEST', m]
  // Refused by the database: a point without an image is none.
  if (images.length === 0) return ['CONFLICT', m]
  const after = withRun(m, call.run, { ...run, state: 'finishing', outcome: 'succeeded' })
  return ['ok', { ...after, points: { ...m.points, [call.point]: call.run } }]
}

export function pointOfImage(m: Model, imageId: string | null): string | null {
  if (imageId === null) return null
  const point = Object.entries(m.points).find(([, runId]) => Object.values(m.runs[runId]!.images).some(({ id }) => id === imageId))
  return point?.[0] ?? null
}
