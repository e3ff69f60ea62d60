import { type Catalog, ENDED_STATES, type Run } from '@varve/catalog-client'
import type { Logger } from '@varve/runtime'

type Listener = (run: Run) => void

interface Watcher {
  /** Absent: every run. */
  readonly runId: string | undefined
  readonly listener: Listener
}

interface Deps {
  readonly catalog: Catalog
  readonly log: Logger
  /** Milliseconds between two looks at the catalog while somebody watches, when its change feed says nothing. */
  readonly interval: number
}

/** Looks that changes ask for are at least this far apart: what a person can see, at a bounded cost. */
const GAP_MS = 250

/** A run that stands still is told again from time to time, so that its rate falls instead of staying what it last was. */
const STILL_MS = 5000

/** Runs that are looked at for `every run`: what is under way, and the newest whatever their state. */
const ACTIVE = 500
const NEWEST = 50

/**
 * Tells watchers which runs changed. However many watch, each process asks the catalog at one pace: when its change feed says so, and from time
 * to time in case the feed is broken; not at all while nobody watches. A listener hears of a run when it differs from what it was at the last look; the present state is the
 * subscriber's own to fetch first.
 */
export class RunWatch {
  readonly #deps: Deps
  readonly #watchers = new Set<Watcher>()
  readonly #last = new Map<string, { readonly text: string; readonly ended: boolean; readonly toldAt: number }>()
  #timer: NodeJS.Timeout | undefined
  #looking = false
  #nudged = false
  #lookedAt = 0
  #feed: AbortController | undefined
  #closed = false

  constructor(deps: Deps) {
    this.#deps = deps
  }

  watch(runId: string | undefined, listener: Listener): () => void {
    const watcher: Watcher = { runId, listener }
    this.#watchers.add(watcher)
    this.#followFeed()
    this.nudge()
    return () => {
      this.#watchers.delete(watcher)
      if (this.#watchers.size === 0) this.#rest()
    }
  }

  /** Look soon instead of at the next turn, because something is known to have changed. */
  nudge(): void {
    if (this.#closed || this.#watchers.size === 0) return
    this.#nudged = true
    if (this.#looking) return
    clearTimeout(this.#timer)
    this.#schedule()
  }

  close(): void {
    this.#closed = true
    this.#watchers.clear()
    this.#rest()
  }

  #rest(): void {
    clearTimeout(this.#timer)
    this.#feed?.abort()
    this.#feed = undefined
    this.#last.clear()
  }

  #followFeed(): void {
    if (this.#feed !== undefined || this.#closed) return
    const feed = new AbortController()
    this.#feed = feed
    void (async () => {
      try {
        for await (const _change of this.#deps.catalog.changes(feed.signal)) this.nudge()
      } catch (error) {
        if (!feed.signal.aborted)
          this.#deps.log.warn({ err: error }, 'the change feed of the catalog broke; looking from time to time instead')
      }
    })()
  }

  #schedule(): void {
    if (this.#closed || this.#watchers.size === 0) return
    const due = this.#lookedAt + (this.#nudged ? Math.min(GAP_MS, this.#deps.interval) : this.#deps.interval)
    this.#timer = setTimeout(() => void this.#turn(), Math.max(0, due - Date.now()))
  }

  async #turn(): Promise<void> {
    this.#looking = true
    this.#nudged = false
    this.#lookedAt = Date.now()
    try {
      for (const run of await this.#look()) this.#tell(run)
    } catch (error) {
      this.#deps.log.warn({ err: error }, 'looking for changed runs failed')
    } finally {
      this.#looking = false
      this.#schedule()
    }
  }

  async #look(): Promise<readonly Run[]> {
    const { catalog } = this.#deps
    const found = new Map<string, Run>()
    const all = [...this.#watchers].some(({ runId }) => runId === undefined)
    if (all) {
      const [active, newest] = await Promise.all([catalog.listRuns({ active: true, limit: ACTIVE }), catalog.listRuns({ limit: NEWEST })])
      for (const run of [...active, ...newest]) found.set(run.id, run)
      // A run that was under way at the last look and is in neither list ended meanwhile; an ended one does not change again.
      for (const [id, { ended }] of this.#last) {
        if (found.has(id)) continue
        if (ended) this.#last.delete(id)
        else await this.#add(id, found)
      }
    }
    for (const { runId } of this.#watchers) if (runId !== undefined && !found.has(runId)) await this.#add(runId, found)
    return [...found.values()]
  }

  async #add(id: string, found: Map<string, Run>): Promise<void> {
    try {
      found.set(id, await this.#deps.catalog.getRun(id))
    } catch (error) {
      this.#last.delete(id)
      this.#deps.log.debug({ runId: id, err: error }, 'a watched run is not there')
    }
  }

  #tell(run: Run): void {
    const text = JSON.stringify(run)
    const last = this.#last.get(run.id)
    if (last?.text === text && (last.ended || Date.now() - last.toldAt < STILL_MS)) return
    this.#last.set(run.id, { text, ended: ENDED_STATES.includes(run.state), toldAt: Date.now() })
    for (const { runId, listener } of this.#watchers) if (runId === undefined || runId === run.id) listener(run)
  }
}
