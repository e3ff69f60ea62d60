import { setTimeout as wait } from 'node:timers/promises'
import { granuleCount, type Run } from '@varve/cbt'
import type { Chain } from './chain.ts'
import { ABSENT, DATA, GRAIN, type Layer, ZERO } from './layer.ts'
import type { LiveDisk } from './live-disk.ts'
import type { Step } from './step.ts'

/** Grains copied under one lock: 1 MiB, so that a guest write waits for a millisecond or two. */
const RUN = 16
/** Bytes copied between two syncs. */
const BATCH = 32 * 2 ** 20

export interface MergeOptions {
  /** Bytes per second. */
  readonly rate: number
  readonly signal: AbortSignal
  readonly step: Step
  /** Called with the grains that went down since the last call. */
  readonly onMerged: (grains: number) => void
}

/**
 * Carry every grain of a draining overlay down into the layer below, while the guest writes on. Ends when the overlay
 * holds nothing. Safe to repeat after kill -9 at any point: a grain stays in the overlay until its copy below is durable.
 *
 *     copy up to 1 MiB under an exclusive lock, note it as copied   (a guest write in between un-notes it)
 *     after 32 MiB: sync below, then clear the map bits of what is still noted
 *
 * Grains that the guest writes faster than that are left over. They get a second pass that keeps the lock until the
 * bits are cleared, so that a merge ends under any load; those writes wait for the sync of 1 MiB.
 */
export async function mergeLayer(disk: LiveDisk, layer: Layer, options: MergeOptions): Promise<void> {
  const count = granuleCount(disk.size)
  const buffer = Buffer.allocUnsafe(RUN * GRAIN)
  const pace = pacer(options.rate, options.signal)
  for (let firm = false; ; firm = true) {
    let batch = 0
    let any = false
    for (let at = 0; ; ) {
      options.signal.throwIfAborted()
      const run = layer.map.map.nextRun(at, count)
      if (run === undefined) break
      any = true
      at = Math.min(run.to, run.from + RUN)
      const bytes = await mergeRun(disk, layer, { ...run, to: at }, buffer, firm ? options : undefined)
      options.step('merge-copied')
      batch += bytes
      if (batch >= BATCH || layer.copied.size >= 65536) {
        await settle(disk.chain, layer, options)
        batch = 0
      }
      await pace(bytes)
    }
    if (!any) return
    await settle(disk.chain, layer, options)
  }
}

/** Copy one run of grains down, and with `settleWith` settle it before any write gets at it. Bytes copied. */
async function mergeRun(disk: LiveDisk, layer: Layer, run: Run, buffer: Buffer, settleWith: MergeOptions | undefined): Promise<number> {
  const hold = await disk.locks.acquire(run.from, run.to - 1, true)
  const chain = disk.chain
  chain.retain()
  try {
    const below = chain.layers[chain.layers.indexOf(layer) - 1]!
    // Waiting for the lock, a trim may have changed what is here.
    if (!layer.map.map.all(run.from, run.to, run.value)) return 0
    const offset = run.from * GRAIN
    const length = Math.min(disk.size, run.to * GRAIN) - offset
    if (run.value === ZERO) {
      if (!below.isBase) below.map.map.fill(run.from, run.to, ZERO)
      else if (!below.map.map.all(run.from, run.to, ABSENT)) {
        await below.data.zero(offset, length)
        below.map.map.fill(run.from, run.to, ABSENT)
      }
    } else {
      const bytes = buffer.subarray(0, length)
      await layer.data.read(offset, bytes)
      if (below.isBase) below.map.map.fill(run.from, run.to, DATA)
      await below.data.write(offset, bytes)
      if (!below.isBase) below.map.map.fill(run.from, run.to, DATA)
    }
    for (let grain = run.from; grain < run.to; grain++) layer.copied.add(grain)
    if (settleWith !== undefined) await settle(chain, layer, settleWith)
    return run.value === DATA ? length : 0
  } finally {
    chain.release()
    disk.locks.release(hold)
  }
}

/** Make the copies durable, then let go of the originals that no guest write has touched since. */
async function settle(chain: Chain, layer: Layer, options: MergeOptions): Promise<void> {
  const copied = [...layer.copied].sort((a, b) => a - b)
  const below = chain.layers[chain.layers.indexOf(layer) - 1]!
  await below.sync()
  options.step('merge-synced')
  let merged = 0
  for (let i = 0; i < copied.length; ) {
    const from = copied[i]!
    let to = from
    while (i < copied.length && copied[i] === to && layer.copied.delete(to)) {
      i += 1
      to += 1
    }
    if (to === from) i += 1
    else layer.map.map.fill(from, to, ABSENT)
    merged += to - from
  }
  options.step('merge-cleared')
  options.onMerged(merged)
}

/** Waits so that at most `rate` bytes go through in a second, after a first burst of a tenth of it. */
function pacer(rate: number, signal: AbortSignal): (bytes: number) => Promise<void> {
  let due = performance.now()
  return async bytes => {
    const now = performance.now()
    due = Math.max(due, now - 100) + (bytes / rate) * 1000
    if (due > now) await wait(due - now, undefined, { signal }).catch(() => signal.throwIfAborted())
  }
}
