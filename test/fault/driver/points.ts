import type { Run } from '@varve/catalog-client'
import type pg from 'pg'
import { clearScripts, script, scriptedHits } from './scripted.ts'
import type { World } from './world.ts'

/**
 * The boundaries between the steps of a run, where faults are injected. At each the step is held: a call to the platform answers late, disk data
 * comes slowly, or a table is locked; so that the fault hits where its row says.
 */
export const BACKUP_POINTS = [
  'queued',
  'before-snapshot',
  'snapshot-unheard',
  'planning',
  'before-lease',
  'lease-unheard',
  'first-range',
  'middle-range',
  'last-range',
  'sealing',
  'finishing',
  'cleaning-up',
] as const
export const RESTORE_POINTS = [
  'restore-queued',
  'before-vm',
  'vm-unheard',
  'restore-before-lease',
  'restore-lease-unheard',
  'restore-first-range',
  'restore-middle-range',
  'restore-last-range',
  'restore-finishing',
] as const
export type Point = (typeof BACKUP_POINTS)[number] | (typeof RESTORE_POINTS)[number] | 'random' | 'restore-random'
export const COPYING = ['first-range', 'middle-range', 'last-range'] as const
export const RESTORE_COPYING = ['restore-first-range', 'restore-middle-range', 'restore-last-range'] as const

export function isRestore(point: Point): boolean {
  return point === 'restore-random' || (RESTORE_POINTS as readonly string[]).includes(point)
}

export interface ArmedPoint {
  /** Has the run come to the point? */
  reached(run: Run): Promise<boolean>
  /** Let the step go on, at full speed. */
  release(): Promise<void>
}

/** How long a call of the platform is held, ms: longer than it takes to see it and to strike. */
const HOLD_MS = 2500
/** Of each NBD connection while ranges are to be caught in the middle: a range of 3 MiB takes a second. */
const SLOW_BYTES = 3 * 1024 * 1024

const SNAPSHOTS = '/servers/[^/]+/snapshots'
const LEASES = '/backup-resources'
const HELD_CALLS: Partial<Record<Point, { readonly kind: string; readonly method: string; readonly path: string }>> = {
  'before-snapshot': { kind: 'http-slow', method: 'POST', path: `${SNAPSHOTS}$` },
  'snapshot-unheard': { kind: 'http-slow-answer', method: 'POST', path: `${SNAPSHOTS}$` },
  planning: { kind: 'http-slow', method: 'GET', path: 'changed-areas' },
  'before-lease': { kind: 'http-slow', method: 'POST', path: `${LEASES}$` },
  'lease-unheard': { kind: 'http-slow-answer', method: 'POST', path: `${LEASES}$` },
  finishing: { kind: 'http-slow', method: 'DELETE', path: LEASES },
  'cleaning-up': { kind: 'http-slow', method: 'DELETE', path: SNAPSHOTS },
  'before-vm': { kind: 'http-slow', method: 'POST', path: '/servers/config' },
  'vm-unheard': { kind: 'http-slow-answer', method: 'POST', path: '/servers/config' },
  'restore-before-lease': { kind: 'http-slow', method: 'POST', path: `${LEASES}$` },
  'restore-lease-unheard': { kind: 'http-slow-answer', method: 'POST', path: `${LEASES}$` },
  'restore-finishing': { kind: 'http-slow', method: 'DELETE', path: LEASES },
}

/**
 * To be called before the run is started. `randomMs`: for the random points, when to strike after the start; `slowTo`: bytes a second of each
 * connection while ranges are to be caught.
 */
export async function armPoint(world: World, point: Point, randomMs: number, slowTo = SLOW_BYTES): Promise<ArmedPoint> {
  const clear = (): Promise<void> => clearScripts(world).catch(() => {})
  const held = HELD_CALLS[point]
  if (held !== undefined) {
    const { kind, ...match } = held
    await script(world, { kind, match, count: 1, params: { ms: HOLD_MS } })
    return { reached: async () => ((await scriptedHits(world))[0] ?? 0) > 0, release: clear }
  }
  if (point === 'sealing') return armSealing(world)
  if (point === 'queued' || point === 'restore-queued') return { reached: async () => true, release: clear }
  await script(world, { kind: 'nbd', params: { mode: 'slow', bytes_per_second: slowTo } })
  if (point === 'random' || point === 'restore-random') {
    const at = Date.now() + randomMs
    return { reached: async () => Date.now() >= at, release: clear }
  }
  return { reached: async run => isAtRange(point, run), release: clear }
}

function isAtRange(point: Point, { state, totals }: Run): boolean {
  if (state !== 'copying') return false
  const { rangesDone, rangesTotal } = totals
  if (point.endsWith('first-range')) return true
  if (point.endsWith('middle-range')) return rangesDone >= rangesTotal / 2
  return rangesDone >= rangesTotal - 2
}

/** The transaction that seals the point waits for a lock that we hold: the manifest is in the bucket and the catalog knows nothing of it. */
async function armSealing(world: World): Promise<ArmedPoint> {
  const client: pg.Client = await world.database.connect()
  await client.query('begin')
  await client.query('lock table varve.restore_points in share row exclusive mode')
  return {
    async reached() {
      const waiting = await world.database.query(`select 1 from pg_locks where not granted and relation = 'varve.restore_points'::regclass`)
      return waiting.length > 0
    },
    release: () => client.end().catch(() => {}),
  }
}
