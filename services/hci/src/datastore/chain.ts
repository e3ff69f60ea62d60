import { ABSENT, DATA, GRAIN, type Layer } from './layer.ts'

/** What NBD calls a block status. */
export interface StatusExtent {
  readonly length: number
  readonly hole: boolean
  readonly zero: boolean
}

/** More extents than this are not answered at once; the asker goes on where the answer ends. */
const MAX_STATUS_EXTENTS = 8192

/**
 * The layers of a disk, bottom first, as they are at one moment. Immutable: a snapshot or the end of a merge puts a new
 * chain in its place. Requests hold the chain they work on, so that the files of a layer that fell out are closed only
 * when nobody reads them any more.
 */
export class Chain {
  readonly layers: readonly Layer[]
  #users = 0
  #waiting: (() => void)[] = []
  /** The chain that this one replaced, while requests still hold it (or one before it): they use the same files. */
  #before: Chain | undefined

  constructor(layers: readonly Layer[], before?: Chain) {
    this.layers = layers
    this.#before = before?.isIdle === false ? before : undefined
  }

  get isIdle(): boolean {
    return this.#users === 0 && (this.#before?.isIdle ?? true)
  }

  get top(): Layer {
    return this.layers.at(-1)!
  }

  retain(): void {
    this.#users += 1
  }

  release(): void {
    this.#users -= 1
    if (this.#users === 0) for (const resolve of this.#waiting.splice(0)) resolve()
  }

  /** Resolves when no request holds the chain or one that came before it; for after it was replaced. */
  async idle(): Promise<void> {
    await this.#before?.idle()
    this.#before = undefined
    if (this.#users === 0) return
    await new Promise<void>(resolve => {
      this.#waiting.push(resolve)
    })
  }

  /** How many layers, from the bottom, a snapshot sees; undefined when the disk is not in it. */
  depthOf(snapshotId: string): number | undefined {
    const at = this.layers.findIndex(layer => layer.snapshotId === snapshotId)
    return at < 0 ? undefined : at
  }

  /** The layer among the lowest `depth` whose data file has the grain; undefined when it reads as zeros. */
  locate(grain: number, depth: number): Layer | undefined {
    for (let i = depth - 1; i >= 0; i--) {
      const layer = this.layers[i]!
      const state = layer.state(grain)
      if (state === DATA) return layer
      if (state !== ABSENT) return undefined
    }
    return undefined
  }

  /** Fill `target` from `offset`, as the lowest `depth` layers have it. */
  read(offset: number, target: Uint8Array, depth: number): Promise<void> {
    const end = offset + target.length
    let jobs: Promise<void>[] | undefined
    let first: Promise<void> | undefined
    for (let at = offset; at < end; ) {
      let grain = Math.floor(at / GRAIN)
      const source = this.locate(grain, depth)
      let to = (grain + 1) * GRAIN
      while (to < end && this.locate(++grain, depth) === source) to += GRAIN
      if (to > end) to = end
      const part = target.subarray(at - offset, to - offset)
      at = to
      if (source === undefined) {
        part.fill(0)
        continue
      }
      const job = source.data.read(at - part.length, part)
      if (first === undefined) first = job
      else if (jobs === undefined) jobs = [first, job]
      else jobs.push(job)
    }
    if (jobs !== undefined) return settleAll(jobs)
    return first ?? Promise.resolve()
  }

  status(offset: number, length: number, depth: number): StatusExtent[] {
    const extents: { length: number; hole: boolean; zero: boolean }[] = []
    for (let at = offset; at < offset + length; ) {
      const grain = Math.floor(at / GRAIN)
      const to = Math.min(offset + length, (grain + 1) * GRAIN)
      const hole = this.locate(grain, depth) === undefined
      const last = extents.at(-1)
      if (last?.hole === hole) last.length += to - at
      else if (extents.length < MAX_STATUS_EXTENTS) extents.push({ length: to - at, hole, zero: hole })
      else break
      at = to
    }
    return extents
  }
}

/** Wait for all of them, also when one fails: their buffers and locks are in use until then. */
export async function settleAll(jobs: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(jobs)).find(result => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
