import { Type } from '@varve/runtime'
import type { Catalog } from './catalog.ts'
import {
  attemptIdList,
  checkEnd,
  checkFilter,
  checkProgress,
  checkRequest,
  cursor,
  idList,
  keyList,
  objectList,
  uuid,
} from './check-schemas.ts'
import {
  attemptEnd,
  attemptId,
  backupOptions,
  errorReport,
  idempotencyKey,
  madePlan,
  newImage,
  newPlatform,
  newRange,
  note,
  platformLimits,
  platformVmId,
  pressureReason,
  pricesOrNone,
  progress,
  RANGES_PER_CALL,
  rangeResult,
  resources,
  restoreOptions,
  sealRequest,
  seenVm,
  snapshot,
  snapshotId,
  worker,
} from './schemas.ts'
import { RUN_KINDS, type RunKind } from './types.ts'

/**
 * The internal API as one list, used by the client to call and by the service to answer, so that they cannot drift apart:
 * a method of `Catalog` without a route does not compile, and the service validates what the client sends by the same schema.
 *
 * Arguments: the `:names` of the path in order, then those in `args`, which travel as members of a JSON object (POST) or as
 * query parameters (GET, text). Answers: JSON; 204 when a method gives nothing; raw bytes where said.
 * Errors: the status of CATALOG_ERRORS with `{ code, message, context }`.
 */
export type CatalogMethod = Exclude<keyof Catalog, 'close' | 'changes'>

export interface Route {
  readonly http: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  /** Names of the arguments after those of the path. */
  readonly args: readonly string[]
  /** JSON Schema of the object that carries `args`. */
  readonly schema: object | null
  readonly answer: 'json' | 'bytes'
}

export const PREFIX = '/internal/v1'
/** The change feed: a stream of lines, `{"runId": …}` or empty (still here). */
export const CHANGES_PATH = `${PREFIX}/changes`
/** Bytes of one request at most; a larger list of ranges is sent in parts. */
export const REQUEST_MAX = 16 * 1024 * 1024
/** Bytes of one answer at most: 15 MB are the page references of a 63 TB disk. */
export const ANSWER_MAX = 256 * 1024 * 1024
/** Seconds between two signs of life in the change feed. */
export const CHANGES_HEARTBEAT_S = 5

const get = (path: string): Route => ({ http: 'GET', path: PREFIX + path, args: [], schema: null, answer: 'json' })
const post = (path: string, args: Parameters<typeof Type.Object>[0] = {}): Route => ({
  http: 'POST',
  path: PREFIX + path,
  args: Object.keys(args),
  schema: Type.Object(args),
  answer: 'json',
})

/** Query parameters of a list that is read page by page. */
const PAGE = { limit: Type.Optional(Type.String({ pattern: '^[0-9]{1,6}$' })), after: Type.Optional(Type.String({ maxLength: 8192 })) }

export const ROUTES: { readonly [M in CatalogMethod]: Route } = {
  addPlatform: post('/platforms', { platform: newPlatform }),
  listPlatforms: get('/platforms'),
  getPlatform: get('/platforms/:id'),
  deletePlatform: { ...get('/platforms/:id'), http: 'DELETE' },
  setPlatformLimits: post('/platforms/:id/limits', { limits: platformLimits }),
  reportPressure: post('/platforms/:id/pressure', { reason: pressureReason() }),

  reportVms: post('/platforms/:id/vms', { vms: Type.Array(seenVm, { maxItems: 20_000 }) }),
  listVms: { ...get('/vms'), args: ['limit', 'after'], schema: Type.Object(PAGE) },
  getVm: get('/vms/:id'),
  parentPoint: get('/vms/:id/parent-point'),

  createBackup: post('/vms/:id/backups', { options: backupOptions, idempotencyKey: idempotencyKey() }),
  createRestore: post('/points/:id/restores', { options: restoreOptions, idempotencyKey: idempotencyKey() }),
  createBackupPreview: post('/vms/:id/previews', { options: backupOptions, idempotencyKey: idempotencyKey() }),
  createRestorePreview: post('/points/:id/previews', { options: restoreOptions, idempotencyKey: idempotencyKey() }),
  getPrices: get('/prices'),
  setPrices: post('/prices', { prices: pricesOrNone() }),
  listRuns: {
    ...get('/runs'),
    // A GET: the filter's members are query parameters.
    args: ['vmId', 'kind', 'active', 'limit', 'after'],
    schema: Type.Object({
      vmId: Type.Optional(Type.String({ maxLength: 100 })),
      kind: Type.Optional(Type.Unsafe<RunKind>(Type.String({ enum: [...RUN_KINDS] }))),
      active: Type.Optional(Type.Union([Type.Literal('true'), Type.Literal('false')])),
      ...PAGE,
    }),
  },
  getRun: get('/runs/:id'),
  cancelRun: post('/runs/:id/cancel'),
  pauseRun: post('/runs/:id/pause'),
  resumeRun: post('/runs/:id/resume'),
  getRunForWork: get('/runs/:id/work'),
  startRun: post('/runs/:id/start'),
  recordResources: post('/runs/:id/resources', { resources, seen: Type.Optional(resources) }),
  recordSnapshot: post('/runs/:id/snapshot', { snapshot }),
  addNote: post('/runs/:id/notes', { note: note() }),
  setTarget: post('/runs/:id/target', { targetPlatformVmId: platformVmId() }),
  addImages: post('/runs/:id/images', { images: Type.Array(newImage, { maxItems: 1000 }), snapshotId: Type.Optional(snapshotId()) }),
  addRanges: post('/runs/:id/ranges', {
    ranges: Type.Array(newRange, { maxItems: RANGES_PER_CALL }),
    snapshotId: Type.Optional(snapshotId()),
  }),
  planned: post('/runs/:id/planned', { plan: Type.Optional(madePlan) }),
  dropPlan: post('/runs/:id/drop-plan', { snapshotId: snapshotId() }),
  runObjects: get('/runs/:id/objects'),
  seal: post('/runs/:id/seal', { request: sealRequest }),
  failRun: post('/runs/:id/fail', { error: errorReport, rangeId: Type.Optional(uuid()) }),
  closeRun: post('/runs/:id/close'),
  requeue: post('/runs/:id/requeue'),

  takeRange: post('/ranges/:id/take', { worker: worker() }),
  completeRange: post('/ranges/:id/complete', { attemptId: attemptId(), result: rangeResult }),
  progressRange: post('/ranges/:id/progress', { attemptId: attemptId(), progress }),
  endAttempt: post('/attempts/end', { attemptId: attemptId(), end: attemptEnd }),

  imagePages: { ...get('/images/:id/pages'), answer: 'bytes' },
  getImageRoot: get('/images/:id/root'),

  listPoints: {
    ...get('/points'),
    args: ['vmId', 'limit', 'after'],
    schema: Type.Object({ vmId: Type.Optional(Type.String({ maxLength: 100 })), ...PAGE }),
  },
  getPoint: get('/points/:id'),
  getPointConfig: get('/points/:id/config'),

  activeLeases: get('/leases'),

  createCheck: post('/checks', { check: checkRequest, id: Type.Optional(uuid()) }),
  createPeriodicCheck: post('/checks/periodic', {
    everySeconds: Type.Integer({ minimum: 1, maximum: 604_800 }),
    wholeEverySeconds: Type.Integer({ minimum: 0, maximum: 31_622_400 }),
  }),
  getCheck: get('/checks/:id'),
  // Questions that a query string is too short or too plain for.
  listChecks: post('/checks/list', { filter: Type.Optional(checkFilter) }),
  takeCheck: post('/checks/take', { worker: worker() }),
  progressCheck: post('/checks/:id/progress', { worker: worker(), at: checkProgress }),
  endCheck: post('/checks/:id/end', { worker: worker(), outcome: checkEnd }),
  pointFacts: post('/checks/:id/points', { after: cursor() }),
  runFacts: post('/facts/runs', { ids: idList() }),
  liveRunFacts: post('/facts/live-runs', { after: cursor() }),
  endedRunFacts: post('/facts/ended-runs', { withinSeconds: Type.Integer({ minimum: 0, maximum: 31_622_400 }), after: cursor() }),
  objectOwners: post('/facts/objects', { keys: keyList() }),
  compactedAttempts: post('/facts/compacted-attempts', { after: cursor() }),
  imageOwners: post('/facts/images', { imageIds: idList() }),
  sealedPoints: post('/facts/points', { ids: idList() }),
  attemptsToSweep: post('/attempts/to-sweep', { exceptRuns: idList() }),
  attemptsSwept: post('/attempts/swept', { attemptIds: attemptIdList(), askedAt: Type.String({ minLength: 20, maxLength: 40 }) }),
  objectsToSweep: post('/objects/to-sweep', { exceptRuns: idList() }),
  objectsSwept: post('/objects/swept', { objects: objectList() }),
}

export const CATALOG_METHODS = Object.keys(ROUTES) as readonly CatalogMethod[]
