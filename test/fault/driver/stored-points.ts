import { blocksInPage, pageBytes } from '@varve/block-map'
import { openRepository, openStore, type Repository } from '@varve/repository'
import { firstWrong, GRANULE } from './twin.ts'
import type { VmTruth } from './vm.ts'
import type { World } from './world.ts'

export interface KnownPoint {
  readonly id: string
  readonly vmId: string
  readonly manifestKey: string
  readonly truth: VmTruth
}

/** A point that was sealed, with what it must hold. */
export async function knownPoint(world: World, id: string, truth: VmTruth): Promise<KnownPoint> {
  const [row] = await world.database.query<{ vm_id: string; manifest_key: string }>(
    'select vm_id, manifest_key from varve.restore_points where id = $1',
    [id],
  )
  if (row === undefined) throw new Error(`the run names restore point ${id}, which is not sealed`)
  return { id, vmId: row.vm_id, manifestKey: row.manifest_key, truth }
}

/** Where a sealed point, read from the repository alone, is not as recorded; null when every byte of every disk is. */
export async function differenceOfPoint(world: World, point: KnownPoint): Promise<string | null> {
  const store = await openStore(world.repositoryUrl, world.storeSettings)
  try {
    const repository = await openRepository(store)
    const manifest = await repository.getManifest(point.manifestKey)
    for (const [diskId, truth] of point.truth) {
      const image = manifest.images.find(candidate => candidate.diskId === diskId)
      if (image === undefined) return `${diskId} is missing`
      const wrong = await differenceOfImage(repository, image.rootKey, image.diskSize, truth)
      if (wrong !== null) return `${diskId} ${wrong}`
    }
    return null
  } finally {
    await store.close()
  }
}

async function differenceOfImage(
  repository: Repository,
  rootKey: string,
  diskSize: number,
  truth: ReadonlyMap<number, string>,
): Promise<string | null> {
  const { blockSize } = repository.format
  const root = await repository.getRoot(rootKey)
  const seen = new Set<number>()
  for (const page of await repository.getPages([...root.pages])) {
    const base = page.pageIndex * pageBytes(blockSize)
    const requests = []
    for (let entry = 0; entry < blocksInPage(diskSize, blockSize, page.pageIndex); entry += 1) {
      if (page.entry(entry) !== undefined) requests.push({ index: entry, page, entry })
    }
    for await (const { index, bytes, damage } of repository.readBlocks(requests)) {
      if (bytes === undefined) return `block ${index} of page ${page.pageIndex} is damaged: ${damage?.message}`
      const offset = base + index * blockSize
      const wrong = firstWrong(truth, offset, bytes)
      if (wrong !== null) return `differs at ${wrong}`
      for (let at = 0; at < bytes.length; at += GRANULE) seen.add((offset + at) / GRANULE)
    }
  }
  for (const granule of truth.keys()) if (!seen.has(granule)) return `lacks what was written at ${granule * GRANULE}`
  return null
}
