import { isDeepStrictEqual } from 'node:util'
import { merkleRoot, type Root } from '@varve/block-map'
import type { PointFacts, PointImageFacts } from '@varve/catalog-client'
import type { RestorePointManifest } from '@varve/repository'
import type { Found } from './findings.ts'

/* What a sealed point must be, by the catalog's own rows, its manifest and its roots. Pure. */

/** Invariants 2, 4 and 5, as far as the catalog itself tells. */
export function judgePoint(point: PointFacts): Found[] {
  const found: Found[] = []
  const add = (code: Found['code'], message: string): void => void found.push({ code, subject: point.id, runId: point.runId, message })
  if (point.images.length === 0 || point.images.length !== point.imagesOfRun) {
    add('point-incomplete', `${point.images.length} of the ${point.imagesOfRun} images of its run are sealed`)
  }
  if (point.runKind !== 'backup' || point.runOutcome !== 'succeeded') {
    add('point-incomplete', `its run is a ${point.runKind} that ended ${point.runOutcome}`)
  }
  if (point.parentId !== null && point.parentVmId !== point.vmId) {
    add('parent-not-sealed', `its parent ${point.parentId} is ${point.parentVmId === null ? 'no sealed point' : 'of another VM'}`)
  }
  for (const image of point.images) judgeImage(point, image, add)
  return found
}

function judgeImage(point: PointFacts, image: PointImageFacts, add: (code: Found['code'], message: string) => void): void {
  const { diskId, kind, reason, parent, since } = image
  if (kind === 'full') {
    if (reason === null) add('full-without-reason', `disk ${diskId}`)
    return
  }
  if (parent === null || parent.restorePointId !== point.parentId || parent.diskId !== diskId) {
    add(
      'parent-not-sealed',
      `disk ${diskId} stands on ${parent === null ? 'no sealed image' : `disk ${parent.diskId} of point ${parent.restorePointId}`}`,
    )
    return
  }
  // Runs from before this was recorded have none.
  if (since === null || since === parent.checkpointId) return
  add('since-not-of-parent', `disk ${diskId}: asked since ${since}, its parent's checkpoint is ${parent.checkpointId ?? 'none'}`)
}

/** Invariant 8: what a catalog made from the manifest would have, beside what this one has. @returns the names of what differs */
export function manifestDifferences(point: PointFacts, manifest: RestorePointManifest): string[] {
  const pairs: [string, unknown, unknown][] = [
    ['restorePointId', point.id, manifest.restorePointId],
    ['vm.id', point.vmId, manifest.vm.id],
    ['vm.platformId', point.platformId, manifest.vm.platformId],
    ['vm.platformVmId', point.platformVmId, manifest.vm.platformVmId],
    ['createdAt', Date.parse(point.createdAt), Date.parse(manifest.createdAt)],
    ['checkpointId', point.checkpointId, manifest.checkpointId],
    ['parentId', point.parentId, manifest.parentId],
    ['config', point.config ?? {}, manifest.config],
    ['images', point.images.map(({ diskId }) => diskId).sort(), manifest.images.map(({ diskId }) => diskId).sort()],
  ]
  const told = new Map(manifest.images.map(image => [image.diskId, image]))
  for (const image of point.images) {
    const other = told.get(image.diskId)
    if (other === undefined) continue
    const { imageId, diskSize, blockSize, kind, reason, rootKey, merkleRoot: merkle, cbt, read, stored } = image
    const row = { imageId, diskSize, blockSize, kind, reason, rootKey, merkleRoot: merkle, cbt, read, stored }
    for (const [name, value] of Object.entries(row)) pairs.push([`${image.diskId}.${name}`, value, other[name as keyof typeof row]])
  }
  return pairs.filter(([, a, b]) => !isDeepStrictEqual(a, b)).map(([name]) => name)
}

/** And of a root, beside the catalog's image. */
export function rootDifferences(image: PointImageFacts, root: Root): string[] {
  const pairs: [string, unknown, unknown][] = [
    ['imageId', image.imageId, root.imageId],
    ['diskSize', image.diskSize, root.diskSize],
    ['blockSize', image.blockSize, root.blockSize],
    ['merkleRoot', image.merkleRoot, merkleRoot(root).toString('hex')],
  ]
  return pairs.filter(([, a, b]) => a !== b).map(([name]) => name)
}
