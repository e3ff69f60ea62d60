import { CatalogError, type PlatformPressure, PRESSURE_MAX, type PressureReason } from '@varve/catalog-client'
import type { Database } from './database.ts'

/** Reports closer together than this are one: many workers notice the same at the same time. */
const REPORT_MS = 5000
/** Without a report for this long, one level less; again after as long. */
const RELIEF_MS = 60_000

/** The columns of a platform, and when they were read by the database's clock. */
export interface StoredPressure {
  readonly pressure: number
  readonly pressure_at: string | null
  readonly pressure_reason: PressureReason | null
}

/** The pressure at a moment: what the last report that counted left, less one for each whole minute since. */
export function pressureAt({ pressure, pressure_at, pressure_reason }: StoredPressure, now: string): PlatformPressure {
  const level = pressure_at === null ? 0 : Math.max(0, pressure - Math.floor(since(pressure_at, now) / RELIEF_MS))
  return level === 0 ? { level, reason: null, at: null } : { level, reason: pressure_reason, at: pressure_at }
}

/** The level after a report at a moment; null when it comes too soon after another. */
export function afterReport(stored: StoredPressure, now: string): number | null {
  if (stored.pressure_at !== null && since(stored.pressure_at, now) < REPORT_MS) return null
  return Math.min(PRESSURE_MAX, pressureAt(stored, now).level + 1)
}

/** A clock that was set back gives no negative time. */
function since(at: string, now: string): number {
  return Math.max(0, Date.parse(now) - Date.parse(at))
}

export interface PressureRise {
  readonly platformId: string
  readonly platform: string
  readonly level: number
  readonly reason: PressureReason
}

/** @returns what became of it when it counted, else null */
export async function reportPressure(db: Database, id: string, reason: PressureReason): Promise<PressureRise | null> {
  return db.transaction(async sql => {
    const { rows } = await sql.query<StoredPressure & { name: string; now: string }>(
      `select name, pressure, pressure_at, pressure_reason, clock_timestamp() as now from varve.platforms where id = $1 for no key update`,
      [id],
    )
    const row = rows[0]
    if (row === undefined) throw new CatalogError('NOT_FOUND', `there is no platform ${id}`, { platformId: id })
    const level = afterReport(row, row.now)
    if (level === null) return null
    await sql.query(`update varve.platforms set pressure = $2, pressure_at = $3, pressure_reason = $4 where id = $1`, [
      id,
      level,
      row.now,
      reason,
    ])
    return { platformId: id, platform: row.name, level, reason }
  })
}
