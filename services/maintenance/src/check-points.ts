import type { Root } from '@varve/block-map'
import { BlockMapError } from '@varve/block-map'
import type { PointFacts, PointImageFacts } from '@varve/catalog-client'
import { hasCode } from '@varve/errors'
import { mapKey, packKey } from '@varve/repository'
import type { CheckContext } from './check-context.ts'
import { allOf } from './each-of.ts'
import { judgePoint, manifestDifferences, rootDifferences } from './judge-point.ts'
import type { ObjectTable } from './object-table.ts'
import { eachPack, newRefs, pagesOf } from './page-walk.ts'

/**
 * Every sealed point, by VM and oldest first: its rows, manifest, roots and block maps (invariants 1 to 5 and 8). Pages that the point before has too were
 * looked at with it, so each page is read about once: the cost is a GET a manifest and a root, and all maps once, at most 1 MiB a GET.
 *
 * @param sizes of all packs, from a listing that began after the points were sealed
 */
export async function checkPoints(context: CheckContext, sizes: ObjectTable): Promise<void> {
  const { catalog, check, findings, signal } = context
  const previous = new Map<string, Root>()
  const suspects = new Set<string>()
  let vmId = ''
  for await (const point of allOf(after => catalog.pointFacts(check.id, after))) {
    signal.throwIfAborted()
    if (point.vmId !== vmId) previous.clear()
    vmId = point.vmId
    findings.seen.points += 1
    for (const found of judgePoint(point)) findings.add(found)
    await checkManifest(point, context)
    for (const image of point.images) {
      findings.seen.images += 1
      const root = await checkRoot(point, image, context)
      if (root === null) continue
      await checkPages(point, image, newRefs(root, previous.get(image.diskId)), { ...context, sizes, suspects })
      previous.set(image.diskId, root)
    }
  }
}

async function checkManifest(point: PointFacts, { repository, findings, signal }: CheckContext): Promise<void> {
  const about = { subject: point.manifestKey, runId: point.runId }
  const where = `point ${point.id} of VM ${point.vmName}`
  try {
    const differences = manifestDifferences(point, await repository.getManifest(point.manifestKey, { signal }))
    if (differences.length > 0) findings.add({ ...about, code: 'manifest-differs', message: `${where}: ${differences.join(', ')}` })
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) findings.add({ ...about, code: 'manifest-missing', message: where })
    else if (hasCode(error, 'MANIFEST_INVALID', 'MANIFEST_VERSION_UNKNOWN', 'OBJECT_TOO_LARGE'))
      findings.add({ ...about, code: 'manifest-damaged', message: `${where}: ${error.message}` })
    else throw error
  }
}

async function checkRoot(point: PointFacts, image: PointImageFacts, { repository, findings, signal }: CheckContext): Promise<Root | null> {
  const about = { subject: image.rootKey, runId: point.runId }
  const where = `disk ${image.diskId} of point ${point.id} of VM ${point.vmName}`
  try {
    const root = await repository.getRoot(image.rootKey, { signal })
    const differences = rootDifferences(image, root)
    if (differences.length > 0) findings.add({ ...about, code: 'root-differs', message: `${where}: ${differences.join(', ')}` })
    return root
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) findings.add({ ...about, code: 'root-missing', message: where })
    else if (error instanceof BlockMapError || hasCode(error, 'OBJECT_TOO_LARGE'))
      findings.add({ ...about, code: 'root-damaged', message: `${where}: ${(error as Error).message}` })
    else throw error
    return null
  }
}

interface PagesContext extends CheckContext {
  readonly sizes: ObjectTable
  /** Packs already asked for one by one. */
  readonly suspects: Set<string>
}

/** Invariant 1: every block lies inside a pack that is there. */
async function checkPages(
  point: PointFacts,
  image: PointImageFacts,
  refs: Parameters<typeof pagesOf>[0],
  context: PagesContext,
): Promise<void> {
  const { repository, findings, sizes, signal } = context
  const where = `disk ${image.diskId} of point ${point.id} of VM ${point.vmName}`
  for await (const answer of pagesOf(refs, repository, signal)) {
    findings.seen.pages += 1
    const { ref } = answer
    if ('error' in answer) {
      const code = answer.error.code === 'MAP_MISSING' ? 'map-missing' : 'map-damaged'
      findings.add({
        code,
        subject: mapKey(ref.mapId),
        runId: point.runId,
        message: `page ${ref.pageIndex} of ${where}: ${answer.error.message}`,
      })
      continue
    }
    for (const [packId, end] of eachPack(answer.page)) {
      const size = sizes.get(packId)
      if (size !== undefined && size >= end) continue
      await checkSuspect(packId, end, `page ${ref.pageIndex} of ${where}`, context)
    }
  }
}

/** A listing may be incomplete, so a pack that it shows not, or too short, is asked for itself. */
async function checkSuspect(
  packId: string,
  end: number,
  where: string,
  { repository, findings, suspects, signal }: PagesContext,
): Promise<void> {
  const key = packKey(packId)
  const name = `${packId} ${end}`
  if (suspects.has(packId) || suspects.has(name)) return
  try {
    await repository.store.get(key, { offset: end - 1, length: 1 }, { signal })
    suspects.add(name)
  } catch (error) {
    suspects.add(packId)
    const message = `${where} names bytes up to ${end} of it`
    if (hasCode(error, 'OBJECT_NOT_FOUND')) findings.add({ code: 'pack-missing', subject: key, message })
    else if (hasCode(error, 'RANGE_INVALID', 'STORE_TRUNCATED')) findings.add({ code: 'pack-too-short', subject: key, message })
    else throw error
  }
}
