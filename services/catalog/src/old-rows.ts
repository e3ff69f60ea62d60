import type { Database } from './database.ts'

/** Days that an idempotency key is remembered. The API says so where it takes them. */
export const KEY_DAYS = 30
/** Days that a finished check stays; the newest of each scope stays for ever. */
export const CHECK_DAYS = 30
const BATCH = 5000

/** Remove keys and checks that are older than that: one batch of each. @returns how many rows went */
export async function dropOldRows(db: Database): Promise<number> {
  const keys = await db.query(OLD_KEYS, [KEY_DAYS, BATCH])
  const checks = await db.query(OLD_CHECKS, [CHECK_DAYS, BATCH])
  return (keys.rowCount ?? 0) + (checks.rowCount ?? 0)
}

/** A run that has not ended keeps its key: asking for it again must not make another. */
const OLD_KEYS = `
  delete from varve.idempotency_keys where (kind, key) in (
    select k.kind, k.key from varve.idempotency_keys k join varve.runs r on r.id = k.run_id
     where k.created_at <= now() - make_interval(days => $1) and r.ended_at is not null
     order by k.created_at limit $2 for update of k skip locked)`

const OLD_CHECKS = `
  delete from varve.checks where id in (
    select id from varve.checks c where ended_at <= now() - make_interval(days => $1)
      and exists (select 1 from varve.checks newer where newer.scope = c.scope and newer.periodic = c.periodic and newer.ended_at is not null and newer.created_at > c.created_at)
     limit $2 for update skip locked)`
