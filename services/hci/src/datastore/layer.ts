import fs from 'node:fs'
import { GRANULARITY, granuleCount, type PageCache } from '@varve/cbt'
import { DataFile } from './data-file.ts'
import type { PunchHole } from './hole.ts'
import { MapFile } from './map-file.ts'
import { mapName } from './names.ts'

/** Bytes of the unit of copy-on-write; the last grain of a disk may be shorter. The same 64 KiB as a CBT granule. */
export const GRAIN = GRANULARITY

/** Grain not in this layer: an overlay is read through to the layer below, a base reads as zeros (and its file has zeros there). */
export const ABSENT = 0
/** Grain in the layer's data file. */
export const DATA = 1
/** Grain of an overlay that reads as zeros. A base has no such state: there ABSENT means it. */
export const ZERO = 2

export interface LayerDeps {
  readonly cache: PageCache
  readonly punch: PunchHole
}

/**
 * One layer of a disk: a sparse data file at disk offsets and a map of which grains it holds. The bottom layer is the
 * disk's raw image, the others are overlays, each above one snapshot.
 *
 * Write order, so that kill -9 anywhere leaves an honest layer:
 * - base: map first (DATA over a hole reads zeros, which is what was there), then bytes in place; zeroing is bytes first, then map.
 * - overlay: all 64 KiB first, then map; until then readers see the grain below.
 */
export class Layer {
  /** The snapshot this overlay lies above; undefined for the base. */
  readonly snapshotId: string | undefined
  readonly data: DataFile
  readonly map: MapFile
  /** Its snapshot is being deleted: no grain enters it any more, the merge carries its grains down. */
  draining = false
  /** Grains copied down by the merge whose bits are not cleared yet; a write to one takes it out. */
  readonly copied = new Set<number>()

  constructor(snapshotId: string | undefined, data: DataFile, map: MapFile) {
    this.snapshotId = snapshotId
    this.data = data
    this.map = map
  }

  get isBase(): boolean {
    return this.snapshotId === undefined
  }

  get path(): string {
    return this.data.path
  }

  state(grain: number): number {
    return this.map.map.get(grain)
  }

  /** A guest write is about to change these grains here: what the merge copied of them is old. */
  touch(first: number, last: number): void {
    if (this.copied.size === 0) return
    for (let grain = first; grain <= last; grain++) this.copied.delete(grain)
  }

  async sync(): Promise<void> {
    await this.data.sync()
    await this.map.sync()
  }

  async close(): Promise<void> {
    this.map.close()
    await this.data.close()
  }
}

export async function createLayer(path: string, snapshotId: string | undefined, size: number, deps: LayerDeps): Promise<Layer> {
  // A leftover of a crashed attempt must not shine through.
  await removeLayerFiles(path, size)
  const data = await DataFile.open(path, size, deps.punch, true)
  try {
    const map = MapFile.create(mapName(path), { kind: 'grain-map', diskSize: size, targetInc: 0 }, deps.cache)
    return new Layer(snapshotId, data, map)
  } catch (error) {
    await data.close()
    throw error
  }
}

/** @throws CbtError MAP_FILE_DAMAGED */
export async function openLayer(path: string, snapshotId: string | undefined, size: number, deps: LayerDeps): Promise<Layer> {
  const map = MapFile.open(mapName(path), 'grain-map', deps.cache)
  try {
    // A resize that was cut off: the VM's record has the size, the header of the map is written last.
    const resized = map.header.diskSize !== size
    const data = await DataFile.open(path, size, deps.punch, resized)
    const layer = new Layer(snapshotId, data, map)
    if (resized) resizeMap(layer, size)
    return layer
  } catch (error) {
    map.close()
    throw error
  }
}

/** Bring the map to another disk size: what lies past the new end is forgotten. The data file has its new length already. */
function resizeMap(layer: Layer, size: number): void {
  const { map, header } = layer.map
  map.fill(granuleCount(size), granuleCount(header.diskSize), ABSENT)
  layer.map.rewriteHeader({ ...header, diskSize: size })
}

/** Change the size of a closed layer on disk: cut or stretch the data, then the map. */
export async function resizeLayerFiles(path: string, size: number, deps: LayerDeps): Promise<void> {
  const layer = await openLayer(path, undefined, size, deps)
  await layer.sync()
  await layer.close()
}

export async function removeLayerFiles(path: string, size: number): Promise<void> {
  for (const file of [...DataFile.paths(path, size), mapName(path)]) await fs.promises.rm(file, { force: true })
}
