import { createContext } from 'preact'
import { useCallback, useContext, useEffect, useState } from 'preact/hooks'
import { ApiError, get, list } from './api.ts'
import type { RunInfo } from './api-types.ts'
import { followEvents } from './event-stream.ts'

/** What the one event stream of the page told so far. */
export interface Live {
  /** Runs by id: those under way when the page connected, and each that changed since. */
  readonly runs: ReadonlyMap<string, RunInfo>
  /** Counts ended runs: lists of VMs and points are worth fetching again. */
  readonly ended: number
  readonly connected: boolean
}

const NOTHING: Live = { runs: new Map(), ended: 0, connected: true }
/** A page that stays open for weeks keeps that many runs. */
const KEPT = 500

export const LiveContext = createContext<Live>(NOTHING)

export function useLive(): Live {
  return useContext(LiveContext)
}

/** Follow everything for as long as the page shows. `refused` is called when the token is. */
export function useLiveSource(refused: () => void): Live {
  const [live, setLive] = useState<Live>(NOTHING)
  useEffect(
    () =>
      followEvents('/v1/events', {
        event(name, data) {
          if (name === 'runs') setLive(old => merge(old, data as RunInfo[]))
          if (name === 'run') setLive(old => merge(old, [data as RunInfo]))
        },
        // After a break runs may have ended unseen: that counts as news.
        connected: yes => setLive(old => (old.connected === yes ? old : { ...old, connected: yes, ended: old.ended + 1 })),
        refused,
      }),
    [],
  )
  return live
}

function merge(old: Live, changed: readonly RunInfo[]): Live {
  const runs = new Map(old.runs)
  let ended = old.ended
  for (const run of changed) {
    const before = runs.get(run.id)
    if (run.endedAt !== null && before?.endedAt !== run.endedAt) ended += 1
    // Newest at the end, so that the oldest are dropped first.
    runs.delete(run.id)
    runs.set(run.id, run)
  }
  for (const id of runs.keys()) {
    if (runs.size <= KEPT) break
    runs.delete(id)
  }
  return { ...old, runs, ended }
}

export interface Loaded<T> {
  readonly value: T | undefined
  readonly error: ApiError | undefined
  reload(): void
}

/** A GET, repeated when one of `when` changes and every minute. The old value stays while the new one is on its way. */
export function useGet<T>(path: string, when: readonly unknown[]): Loaded<T> {
  return useFetched<T>(path, when, get)
}

/** All of a list, like useGet. */
export function useList<T>(path: string, when: readonly unknown[]): Loaded<readonly T[]> {
  return useFetched<readonly T[]>(path, when, list)
}

function useFetched<T>(path: string, when: readonly unknown[], fetched: (path: string) => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ path: string; value?: T; error?: ApiError }>({ path })
  const load = useCallback(() => {
    let current = true
    fetched(path).then(
      value => current && setState({ path, value }),
      error => current && setState(old => ({ ...(old.path === path ? old : {}), path, error: asApiError(error) })),
    )
    return () => {
      current = false
    }
  }, [path])
  useEffect(load, [path, ...when])
  useEffect(() => {
    const timer = setInterval(load, 60_000)
    return () => clearInterval(timer)
  }, [load])
  const fresh = state.path === path ? state : { path }
  return { value: fresh.value, error: fresh.error, reload: load }
}

export function asApiError(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError(0, 'INTERNAL', String(error))
}

/** The present time, moving on by itself, for ages. */
export function useNow(everyMs = 15_000): number {
  const [now, setNow] = useState(Date.now())
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs)
    return () => clearInterval(timer)
  }, [everyMs])
  return now
}
