import type { Catalog } from '@varve/catalog-client'
import type { CatalogMethod } from '@varve/catalog-client/protocol'
import { compactedAttempts, endedRunFacts, liveRunFacts, pointFacts, runFacts } from './check-facts.ts'
import { createCheck, createPeriodicCheck, endCheck, getCheck, listChecks, progressCheck, takeCheck } from './checks.ts'
import type { Database } from './database.ts'
import { closeRun, type EndedRun, failRun, seal } from './endings.ts'
import { attemptsSwept, attemptsToSweep, imageOwners, objectOwners, objectsSwept, objectsToSweep, sealedPoints } from './owners.ts'
import { pauseRun, resumeRun } from './pause.ts'
import { addPlatform, deletePlatform, getPlatform, listPlatforms, setPlatformLimits } from './platforms.ts'
import { activeLeases, getImageRoot, getPoint, getPointConfig, listPoints, parentPoint } from './points.ts'
import { addImages, addNote, dropPlan, planned, recordResources, recordSnapshot, setTarget, startRun } from './preparing.ts'
import { type PressureRise, reportPressure } from './pressure.ts'
import { getPrices, setPrices } from './prices.ts'
import { addRanges, imagePages, runObjects } from './ranges.ts'
import { ReportBatches } from './report-batches.ts'
import { requeue } from './requeue.ts'
import {
  cancelRun,
  createBackup,
  createBackupPreview,
  createRestore,
  createRestorePreview,
  getRun,
  getRunForWork,
  listRuns,
} from './runs.ts'
import { endAttempt, progressRange, takeRange } from './take-range.ts'
import { getVm, listVms, reportVms } from './vms.ts'

/** Told after the fact, with the run. */
export interface RangeSignals {
  readonly onProgress?: (runId: string) => void
  /** A range was reported: there is room for another. */
  readonly onReport?: (runId: string) => void
}

/**
 * The catalog on its database: what the routes call. `onEnded`: told once of each run that ended; `onPressure`: of each rise. `rangeSilenceS`: seconds
 * without a sign of life after which a worker counts as dead.
 */
export function catalogMethods(
  db: Database,
  onEnded?: (run: EndedRun) => void,
  onPressure?: (rise: PressureRise) => void,
  signals: RangeSignals = {},
  rangeSilenceS = 15,
): Pick<Catalog, CatalogMethod> {
  const reports = new ReportBatches(db, signals.onReport)
  return {
    addPlatform: platform => addPlatform(db, platform),
    listPlatforms: () => listPlatforms(db),
    getPlatform: id => getPlatform(db, id),
    deletePlatform: id => deletePlatform(db, id),
    setPlatformLimits: (id, limits) => setPlatformLimits(db, id, limits),
    reportPressure: async (id, reason) => {
      const rise = await reportPressure(db, id, reason)
      if (rise !== null) onPressure?.(rise)
    },
    reportVms: (platformId, vms) => reportVms(db, platformId, vms),
    listVms: page => listVms(db, page),
    getVm: id => getVm(db, id),
    parentPoint: vmId => parentPoint(db, vmId),
    createBackup: (vmId, options, key) => createBackup(db, vmId, options, key),
    createRestore: (pointId, options, key) => createRestore(db, pointId, options, key),
    createBackupPreview: (vmId, options, key) => createBackupPreview(db, vmId, options, key),
    createRestorePreview: (pointId, options, key) => createRestorePreview(db, pointId, options, key),
    getPrices: () => getPrices(db),
    setPrices: prices => setPrices(db, prices),
    listRuns: filter => listRuns(db, filter),
    getRun: id => getRun(db, id),
    cancelRun: id => cancelRun(db, id),
    pauseRun: id => pauseRun(db, id),
    resumeRun: async id => {
      const run = await resumeRun(db, id)
      // Nobody waits until its ranges count as silent.
      if (run.state === 'copying') await requeue(db, id)
      return run
    },
    getRunForWork: id => getRunForWork(db, id),
    startRun: id => startRun(db, id),
    recordResources: (id, resources, seen) => recordResources(db, id, resources, seen),
    recordSnapshot: (id, snapshot) => recordSnapshot(db, id, snapshot),
    addNote: (id, note) => addNote(db, id, note),
    setTarget: (id, targetPlatformVmId) => setTarget(db, id, targetPlatformVmId),
    addImages: (id, images, snapshotId) => addImages(db, id, images, snapshotId),
    addRanges: (id, ranges, snapshotId) => addRanges(db, id, ranges, snapshotId),
    planned: (id, plan) => planned(db, id, plan),
    dropPlan: (id, snapshotId) => dropPlan(db, id, snapshotId),
    takeRange: async (id, worker) => {
      const range = await takeRange(db, id, worker)
      if (range.attemptId !== null) reports.expect(id, range)
      return range
    },
    completeRange: (id, attemptId, result) => reports.complete(id, attemptId, result),
    progressRange: (id, attemptId, progress) => progressRange(db, id, attemptId, progress, signals.onProgress),
    endAttempt: (attemptId, end) => endAttempt(db, attemptId, end),
    imagePages: imageId => imagePages(db, imageId),
    runObjects: id => runObjects(db, id),
    seal: (id, request) => seal(db, id, request),
    failRun: (id, error, rangeId) => failRun(db, id, error, rangeId === undefined ? undefined : { id: rangeId, silenceS: rangeSilenceS }),
    closeRun: async id => {
      const ended = await closeRun(db, id)
      if (ended !== null) onEnded?.(ended)
    },
    requeue: id => requeue(db, id),
    listPoints: (vmId, page) => listPoints(db, vmId, page),
    getPoint: id => getPoint(db, id),
    getPointConfig: id => getPointConfig(db, id),
    getImageRoot: imageId => getImageRoot(db, imageId),
    activeLeases: () => activeLeases(db),
    createCheck: (request, id) => createCheck(db, request, id),
    createPeriodicCheck: (everySeconds, wholeEverySeconds) => createPeriodicCheck(db, everySeconds, wholeEverySeconds),
    getCheck: id => getCheck(db, id),
    listChecks: filter => listChecks(db, filter),
    takeCheck: worker => takeCheck(db, worker),
    progressCheck: (id, worker, progress) => progressCheck(db, id, worker, progress),
    endCheck: (id, worker, end) => endCheck(db, id, worker, end),
    pointFacts: (checkId, after) => pointFacts(db, checkId, after),
    runFacts: ids => runFacts(db, ids),
    liveRunFacts: after => liveRunFacts(db, after),
    endedRunFacts: (withinSeconds, after) => endedRunFacts(db, withinSeconds, after),
    objectOwners: keys => objectOwners(db, keys),
    compactedAttempts: after => compactedAttempts(db, after),
    imageOwners: imageIds => imageOwners(db, imageIds),
    sealedPoints: ids => sealedPoints(db, ids),
    attemptsToSweep: exceptRuns => attemptsToSweep(db, exceptRuns),
    attemptsSwept: (ids, askedAt) => attemptsSwept(db, ids, askedAt),
    objectsToSweep: exceptRuns => objectsToSweep(db, exceptRuns),
    objectsSwept: objects => objectsSwept(db, objects),
  }
}
