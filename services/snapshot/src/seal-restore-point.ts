import { merkleRoot, PageRefs, type Root, replacePages } from '@varve/block-map'
import { CatalogError, type Image, type RunForWork } from '@varve/catalog-client'
import { hasCode } from '@varve/errors'
import { isParentMaterial } from '@varve/planning'
import { type ManifestImage, manifestKey, type Repository, type RestorePointManifest, restorePointIdOf, rootKey } from '@varve/repository'
import { isSuccess } from './clean-up.ts'
import { SnapshotError } from './errors.ts'
import { readBackManifest, readBackObjects, readBackRoot } from './read-back.ts'
import type { SnapshotDeps } from './snapshot-deps.ts'

/**
 * Make a restore point of a run whose ranges are all copied.
 *
 *     a sample of what the ranges wrote is read back
 *     parent's page references, replaced where new -> root of each disk -> manifest -> one transaction in the catalog
 *
 * Effect: `images/*.root` and `points/*` in the repository, then the sealed point in the catalog; nothing of it is offered
 * before that last step. Safe to repeat: root keys come from image ids, the point's id from the run's, its time from the run's
 * start, so that a second attempt writes the same objects again.
 *
 * Errors: SnapshotError POINT_INCOMPLETE, STORE_LIED, BlockMapError MAP_CORRUPT and PAGES_CONFLICT, RepositoryError, CatalogError.
 */
export async function sealRestorePoint(runId: string, deps: SnapshotDeps, signal: AbortSignal): Promise<void> {
  const { catalog, repository, log } = deps
  const run = await catalog.getRunForWork(runId)
  // Delivered twice, or late: a killed attempt may have written its manifest after the clean-up.
  if (run.state !== 'sealing') return deleteUnsealed(run, deps, signal)
  if (run.cancelRequested) throw new SnapshotError('CANCELLED', 'the run was cancelled')

  let isOurs = false
  try {
    await readBackObjects(runId, deps, signal)
    const images: ManifestImage[] = []
    for (const image of run.images) images.push(await sealImage(image, run, deps, signal))
    const manifest = await manifestOf(run, images, deps)
    // None was there: whatever is from now on is of this very attempt, and of no seal that the catalog has forgotten.
    isOurs = !(await isThere(keyOf(run, manifest.createdAt), repository, signal))
    const key = await repository.putManifest(manifest, { signal })
    await readBackManifest(key, manifest, deps, signal)
    await catalog.seal(runId, {
      restorePointId: manifest.restorePointId,
      createdAt: manifest.createdAt,
      manifestKey: key,
      parentId: manifest.parentId,
      images: images.map(({ imageId, rootKey, merkleRoot, cbt }) => ({ imageId, rootKey, merkleRoot, cbt })),
    })
    log.info({ runId, vmId: run.vmId, restorePointId: manifest.restorePointId, parentId: manifest.parentId }, 'restore point sealed')
  } catch (error) {
    // It ended under our hands; the clean-up may have looked before roots and manifest were there.
    if (!hasCode(error, 'RUN_ENDED', 'STORE_LIED')) throw error
    const now = await catalog.getRunForWork(runId)
    await deleteUnsealed(now, deps, signal, { isOurs })
    // What the clean-up took away the store did not lose.
    if (error.code === 'STORE_LIED' && now.outcome !== null && !isSuccess(now.outcome)) {
      throw new CatalogError('RUN_ENDED', `run ${runId} is ${now.state}`, { runId, state: now.state }, { cause: error })
    }
    throw error
  }
}

/**
 * Take away the roots of a backup that ended without being sealed, and its manifest (a catalog that is rebuilt from the repository would offer it) if it is certainly
 * of no seal. One that was there before may be that of a seal which this catalog does not know, because it was put back to an earlier state: the repository is the
 * truth, so it stays with its roots, and a check tells of it.
 * Only where one may be, so that a repository out of reach holds up nobody else's clean-up.
 *
 * @param isOurs the caller wrote the manifest, and there was none before
 */
export async function deleteUnsealed(
  run: RunForWork,
  { repository, log }: SnapshotDeps,
  signal: AbortSignal,
  { isOurs = false }: { readonly isOurs?: boolean } = {},
): Promise<void> {
  const { outcome, startedAt, images, totals } = run
  if (outcome === null || isSuccess(outcome) || startedAt === null) return
  if (images.length === 0 || totals.rangesDone < totals.rangesTotal) return
  const key = keyOf(run, startedAt)
  if (isOurs) await repository.store.delete([key], { signal })
  else if (await isThere(key, repository, signal)) {
    log.warn({ runId: run.id, key }, 'the run ended without a point that the catalog knows, but its manifest is there: it is kept')
    return
  }
  await repository.store.delete(
    images.map(({ id }) => rootKey(id)),
    { signal },
  )
}

function keyOf({ id, vmId }: RunForWork, startedAt: string): string {
  return manifestKey(vmId, startedAt, restorePointIdOf(id))
}

async function isThere(key: string, { store }: Repository, signal: AbortSignal): Promise<boolean> {
  try {
    await store.get(key, { offset: 0, length: 1 }, { signal })
    return true
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) return false
    throw error
  }
}

/** Store the root of one disk: every block of it can be reached from there. */
async function sealImage(image: Image, run: RunForWork, deps: SnapshotDeps, signal: AbortSignal): Promise<ManifestImage> {
  const { catalog, repository } = deps
  const { id: imageId, diskId, diskSize, blockSize, kind, reason, since } = image
  const fresh = PageRefs.decode(await catalog.imagePages(imageId))
  const parent = image.parentImageId === null ? undefined : await rootOf(image.parentImageId, { catalog, repository }, signal)
  const root: Root = { imageId, diskSize, blockSize, pages: replacePages(parent?.pages ?? PageRefs.none, fresh) }
  const rootKey = await repository.putRoot(root, { signal })
  await readBackRoot(rootKey, root, deps, signal)
  return {
    imageId,
    diskId,
    diskSize,
    blockSize,
    kind,
    reason,
    rootKey,
    merkleRoot: merkleRoot(root).toString('hex'),
    cbt: isParentMaterial(BigInt(run.checkpointId ?? 0), since === null || since === undefined ? null : BigInt(since)),
    read: image.totals.read,
    stored: image.totals.written,
  }
}

async function rootOf(
  imageId: string,
  { catalog, repository }: Pick<SnapshotDeps, 'catalog' | 'repository'>,
  signal: AbortSignal,
): Promise<Root> {
  const { rootKey } = await catalog.getImageRoot(imageId)
  return repository.getRoot(rootKey, { signal })
}

async function manifestOf(run: RunForWork, images: readonly ManifestImage[], { catalog }: SnapshotDeps): Promise<RestorePointManifest> {
  const { id: runId, checkpointId, config, startedAt } = run
  if (checkpointId === null || config === null || startedAt === null || images.length === 0) {
    throw new SnapshotError('POINT_INCOMPLETE', 'the run lacks its snapshot record, its start or its images', { runId })
  }
  // One incremental is enough to stand on the parent; a point of fulls only begins a chain. The newest point of the VM is not asked for: when another
  // worker has just sealed this run, it is the point itself.
  const grown = run.images.find(image => image.parentImageId !== null)
  const parent = grown?.parentImageId ? await catalog.getImageRoot(grown.parentImageId) : null
  return {
    restorePointId: restorePointIdOf(runId),
    vm: { id: run.vmId, platformId: run.platformId, platformVmId: run.platformVmId, name: run.vmName },
    createdAt: startedAt,
    checkpointId,
    parentId: parent?.restorePointId ?? null,
    config,
    images,
  }
}
