import type { PreviewOptions } from '@varve/catalog-client'
import { takeAwayIfEnded } from './clean-up.ts'
import { SnapshotError } from './errors.ts'
import { previewBackup } from './preview-backup.ts'
import { previewRestore } from './preview-restore.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'

/**
 * All of a preview: plan a backup or a restore as it would be now, and tell what it would read, store and take.
 *
 * Effect: a prediction in the catalog. On the way perhaps a snapshot and a lease, recorded like those of any run; `finish-run` takes them away. Tracking, disks and
 * configuration stay as they are. Safe to repeat: snapshot and lease are found again, the first prediction stays.
 *
 * Errors: as `prepare-backup` and `prepare-restore`; NbdError. RUN_ENDED: stop quietly.
 */
export async function preparePreview(runId: string, deps: SnapshotDeps, signal: AbortSignal): Promise<void> {
  const { catalog, platforms, log } = deps
  const before = await catalog.getRunForWork(runId)
  const platform = await platforms.get(before.platformId)
  try {
    await catalog.startRun(runId)
    const run = await catalog.getRunForWork(runId)
    if (run.cancelRequested) throw new SnapshotError('CANCELLED', 'the run was cancelled')
    const { of } = run.options as PreviewOptions
    const prediction =
      of === 'backup'
        ? await previewBackup(run, before.state !== 'queued', platform, deps, signal)
        : await previewRestore(run, platform, deps, signal)
    await catalog.planned(runId, { prediction })
    log.info({ runId, vmId: run.vmId, of, read: prediction.read, exact: prediction.exact }, 'preview made')
  } catch (error) {
    await takeAwayIfEnded(runId, deps, platform, signal)
    throw error
  }
}
