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
  readonly attempts: Readonly<Record<string, AttemptModel>>
}

/** A try at a range. */
export interface AttemptModel {
  readonly run: string
  readonly image: string
  readonly index: number
  readonly worker: string
  readonly outcome: 'accepted' | 'refused' | 'failed' | 'handed-back' | 'lost' | null
}

export interface RunModel {
  readonly kind: RunKind
  readonly vm: string
  /** Does it keep other runs off its VM? */
  readonly exclusive: boolean
  readonly state: RunState
  readonly outcome: Outcome | null
  readonly cancel: boolean
  readonly paused: boolean
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

export const EMPTY: Model = { runs: {}, keys: {}, points: {}, attempts: {} }
export const NEW_RUN: Omit<RunModel, 'kind' | 'vm' | 'exclusive'> = {
  state: 'queued',
  outcome: null,
  cancel: false,
  paused: false,
  planned: false,
  snapshotName: null,
  snapshotId: null,
  leaseId: null,
  checkpoint: null,
  images: {},
}

export interface Plan {
  readonly snapshotId?: string | null
  readonly leaseId?: string
  readonly images?: readonly { readonly imageId: string; readonly ranges: number }[]
}

interface OfRange {
  readonly run: string
  readonly image: string
  readonly index: number
  readonly rangeId: string
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
  | { readonly call: 'startRun' | 'cancelRun' | 'closeRun' | 'requeue' | 'pauseRun' | 'resumeRun'; readonly run: string }
  | { readonly call: 'failRun'; readonly run: string; readonly code: string }
  | {
      readonly call: 'recordResources'
      readonly run: string
      readonly resources: Readonly<Partial<Record<'snapshotName' | 'snapshotId' | 'leaseId', string | null>>>
      /** What the lease was, as far as the caller knows. */
      readonly seenLease?: string | null
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
  | (OfRange & { readonly call: 'takeRange'; readonly worker: string })
  | (OfRange & { readonly call: 'completeRange'; readonly attempt: string; readonly report: number })
  | (OfRange & { readonly call: 'progressRange'; readonly attempt: string })
  | { readonly call: 'endAttempt'; readonly run: string; readonly attempt: string; readonly end: 'failed' | 'handed-back' }
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
const ownsSomething = ({ snapshotName, snapshotId, leaseId }: RunModel): boolean =>
  snapshotName !== null || snapshotId !== null || leaseId !== null
const hasEnded = (run: RunModel): boolean => isOver(run) && run.state !== 'finishing'
/** Reports of every third number tell damage. */
export const isDamaged = (report: number): boolean => report % 3 === 0

type Step = readonly [Answer, Model]

/** Every answer that the call may get, with what is then the state. Given the id that a new run or attempt got. */
export function step(m: Model, call: Call, newId: string): readonly Step[] {
  if (call.call === 'createBackup' || call.call === 'createRestore') return [create(m, call, newId)]
  const run = m.runs[call.run]
  if (run === undefined) return [['NOT_FOUND', m]]
  const stay = (answer: Answer): Step => [answer, m]
  const set = (change: Partial<RunModel>, answer: Answer = 'ok'): Step => [answer, withRun(m, call.run, { ...run, ...change })]
  const refuse = (): Step => stay(isOver(run) ? 'RUN_ENDED' : 'CONFLICT')
  const finish = (outcome: Outcome, change: Partial<RunModel> = {}): Step => [
    'ok',
    withRun(loseAttempts(m, call.run), call.run, { ...run, ...change, state: 'finishing', paused: false, outcome }),
  ]
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
      // A run that has ended owns nothing.
      if (run.state === 'finishing') return [ownsSomething(run) ? stay('CONFLICT') : set({ state: run.outcome! })]
      return [isOver(run) ? stay('ok') : refuse()]
    case 'requeue':
      return [stay('ok')]
    case 'pauseRun':
      return [isOver(run) ? stay('RUN_ENDED') : set({ paused: true })]
    case 'resumeRun':
      return [set({ paused: false })]
    case 'recordResources':
      return [recordResources(m, call.run, run, call)]
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
      if (call.plan.leaseId !== undefined && call.plan.leaseId !== run.leaseId) return [stay('PLAN_CHANGED')]
      if (call.plan.images !== undefined && !isThePlan(run, call.plan.images)) return [stay('PLAN_CHANGED')]
      if (run.cancel) return [finish('cancelled', { planned: true })]
      return [[...afterCopying(m, call.run, { ...run, planned: true, state: 'copying' })]]
    }
    case 'dropPlan':
      return [run.state === 'preparing' && run.snapshotId === call.snapshotId ? set({ images: {} }) : stay('ok')]
    case 'takeRange':
    case 'completeRange':
    case 'progressRange':
      return ofRange(m, call, run, newId)
    case 'endAttempt':
      return [['ok', withAttempt(m, call.attempt, { outcome: m.attempts[call.attempt]!.outcome ?? call.end })]]
    case 'seal':
      return [seal(m, call, run)]
  }
}

/** What a worker says about a range. Whether one that nobody has taken is in the queue is not predicted. */
function ofRange(m: Model, call: Extract<Call, OfRange>, run: RunModel, newId: string): readonly Step[] {
  const [disk, image] = imageById(run, call.image) ?? []
  const range = image?.ranges[call.index]
  if (disk === undefined || image === undefined || range === undefined) return [['NOT_FOUND', m]]
  const isOfRange = (attempt: AttemptModel): boolean => attempt.image === call.image && attempt.index === call.index
  if (call.call === 'takeRange') {
    const nothing: Step = ['ok null', m]
    if (range.report !== null || run.state !== 'copying' || run.cancel || run.paused) return [nothing]
    const open = Object.entries(m.attempts).find(([, a]) => isOfRange(a) && a.worker === call.worker && a.outcome === null)
    if (open !== undefined) return [[`ok ${open[0]}`, m]]
    const attempt = { run: call.run, image: call.image, index: call.index, worker: call.worker, outcome: null }
    return [nothing, [`ok ${newId}`, { ...m, attempts: { ...m.attempts, [newId]: attempt } }]]
  }
  const attempt = m.attempts[call.attempt]
  if (attempt === undefined || !isOfRange(attempt)) return [['NOT_FOUND', m]]
  if (call.call === 'progressRange') {
    if (isOver(run)) return [['RUN_ENDED', m]]
    if (attempt.outcome === 'accepted') return [['ok go-on', m]]
    if (attempt.outcome !== null || range.report !== null) return [['ok taken', m]]
    return [[`ok ${run.cancel ? 'cancelled' : run.paused ? 'paused' : 'go-on'}`, m]]
  }
  if (attempt.outcome === 'accepted') return [[`ok ${range.report === call.report}`, m]]
  if (attempt.outcome !== null) return [[range.report === null && isOver(run) ? 'RUN_ENDED' : 'ok false', m]]
  // An attempt is open: so the run is copying and the range is not done. Whoever else tries it has lost.
  const attempts = Object.entries(m.attempts).map(([id, other]): readonly [string, AttemptModel] => {
    if (!isOfRange(other) || other.outcome !== null) return [id, other]
    return [id, { ...other, outcome: id === call.attempt ? 'accepted' : 'lost' }]
  })
  const ranges = { ...image.ranges, [call.index]: { ...range, report: call.report } }
  const changed = { ...run, images: { ...run.images, [disk]: { ...image, ranges } } }
  return [['ok true', afterCopying({ ...m, attempts: Object.fromEntries(attempts) }, call.run, changed)[1]]]
}

function withAttempt(m: Model, id: string, change: Partial<AttemptModel>): Model {
  return { ...m, attempts: { ...m.attempts, [id]: { ...m.attempts[id]!, ...change } } }
}

/** The end of a run is the end of its tries. */
function loseAttempts(m: Model, run: string): Model {
  const attempts = Object.entries(m.attempts).map(([id, attempt]): readonly [string, AttemptModel] => {
    return [id, attempt.run === run && attempt.outcome === null ? { ...attempt, outcome: 'lost' } : attempt]
  })
  return { ...m, attempts: Object.fromEntries(attempts) }
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

function recordResources(
  m: Model,
  id: string,
  run: RunModel,
  { resources: given, seenLease }: Extract<Call, { call: 'recordResources' }>,
): Step {
  const names = (Object.keys(given) as (keyof typeof given)[]).filter(name => given[name] !== run[name])
  if (hasEnded(run)) return [names.length === 0 ? 'ok' : 'RUN_ENDED', m]
  if (seenLease !== undefined && !isOver(run) && ![seenLease, given.leaseId].includes(run.leaseId)) return ['PLAN_CHANGED', m]
  if (names.length === 0) return ['ok', m]
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
  return ['ok', withRun(m, id, { ...run, state: 'finishing', paused: false, outcome: damaged ? 'succeeded-with-damage' : 'succeeded' })]
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
  const after = withRun(m, call.run, { ...run, state: 'finishing', paused: false, outcome: 'succeeded' })
  return ['ok', { ...after, points: { ...m.points, [call.point]: call.run } }]
}

export function pointOfImage(m: Model, imageId: string | null): string | null {
  if (imageId === null) return null
  const point = Object.entries(m.points).find(([, runId]) => Object.values(m.runs[runId]!.images).some(({ id }) => id === imageId))
  return point?.[0] ?? null
}
