import { ENDED_STATES, type Run } from '@varve/catalog-client'

export interface Progress {
  /** 0..1 of the work that is planned. */
  fraction: number
  /** Bytes per second over the last seconds; null while nothing is copied. */
  rate: number | null
  /** Seconds until the copying ends, at this rate; null when it can't be told. */
  remainingSeconds: number | null
}

interface Sample {
  readonly at: number
  readonly bytes: number
}

/** Look back this far for the rate: long enough for ranges that report in lumps, short enough to notice a slow-down. */
const WINDOW_MS = 15_000
/** A rate over less than this is noise. */
const SHORTEST_MS = 900
/** Runs whose samples are kept; the oldest go first. */
const RUNS_KEPT = 1000

/** How much of a run is done. Pure. */
export function doneFraction(run: Run): number {
  if (run.state === 'succeeded' || run.state === 'succeeded-with-damage') return 1
  const { planned, rangesTotal, rangesDone } = run.totals
  if (rangesTotal === 0) return run.state === 'sealing' || run.state === 'finishing' ? 1 : 0
  // Holes are not read, so bytes alone may never reach the plan; ranges alone move in steps. The larger of both is right.
  const byBytes = planned > 0 ? movedBytes(run) / planned : 0
  return Math.min(1, Math.max(byBytes, rangesDone / rangesTotal))
}

/** Bytes of the plan that are behind us: read from the source (backup), written or left as holes (restore). */
export function movedBytes(run: Run): number {
  return run.kind === 'backup' ? run.totals.read : run.totals.written + run.totals.zero
}

/** Remembers where runs were some seconds ago, so that a rate can be told. Nothing depends on it: after a restart it learns again. */
export class RateMeter {
  readonly #samples = new Map<string, Sample[]>()

  observe(run: Run, now: number): Progress {
    const fraction = doneFraction(run)
    if (run.state !== 'copying' || run.paused) {
      // After a pause the rate is learned anew.
      if (run.paused || ENDED_STATES.includes(run.state)) this.#samples.delete(run.id)
      return { fraction, rate: null, remainingSeconds: null }
    }
    const rate = this.#rate(run, now)
    const left = Math.max(0, run.totals.planned * (1 - fraction))
    return { fraction, rate, remainingSeconds: rate === null || rate <= 0 ? null : Math.ceil(left / rate) }
  }

  #rate(run: Run, now: number): number | null {
    const bytes = movedBytes(run)
    const samples = this.#samples.get(run.id) ?? []
    const last = samples.at(-1)
    if (last === undefined || now - last.at >= 200) samples.push({ at: now, bytes })
    while (samples.length > 2 && now - (samples[1] as Sample).at > WINDOW_MS) samples.shift()
    this.#samples.set(run.id, samples)
    if (this.#samples.size > RUNS_KEPT) this.#samples.delete(this.#samples.keys().next().value as string)
    const first = samples[0] as Sample
    if (now - first.at >= SHORTEST_MS) return Math.max(0, ((bytes - first.bytes) * 1000) / (now - first.at))
    const sinceStart = run.startedAt === null ? 0 : now - Date.parse(run.startedAt)
    return sinceStart >= SHORTEST_MS && bytes > 0 ? (bytes * 1000) / sinceStart : null
  }
}
