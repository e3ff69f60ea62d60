import { CatalogError } from '@varve/catalog-client'
import type { Logger } from '@varve/runtime'
import pg from 'pg'

/** What a statement runs on: the pool, or the connection of a transaction. */
export interface Sql {
  query<Row extends pg.QueryResultRow>(text: Statement, values?: readonly unknown[]): Promise<{ rows: Row[]; rowCount: number | null }>
}

/**
 * With a name it is parsed and planned once a connection: for the few that run for every range, where planning costs more than running. Not for those whose best
 * plan depends on the values.
 */
export type Statement = string | { readonly name: string; readonly text: string }

/** Postgres, with one rule: what belongs together is one transaction, and a transaction that lost a deadlock is tried again. */
export class Database {
  readonly #pool: pg.Pool
  #closing = false

  constructor(url: string, connections: number, log: Logger) {
    this.#pool = new pg.Pool({
      connectionString: url,
      max: connections,
      application_name: 'varve-catalog',
      connectionTimeoutMillis: 10_000,
      // A statement that hangs must not hold a connection for ever.
      statement_timeout: 60_000,
      idle_in_transaction_session_timeout: 60_000,
      keepAlive: true,
      types,
    })
    // A connection that is lost in the middle of a transaction: the statement fails, which is enough. Without a listener it ends the process.
    this.#pool.on('connect', client => client.on('error', () => {}))
    this.#pool.on('error', error => {
      // Not `err`: node-postgres hangs its whole client on it.
      if (!this.#closing) log.warn({ reason: error.message }, 'an idle database connection was lost')
    })
  }

  query<Row extends pg.QueryResultRow>(
    text: Statement,
    values: readonly unknown[] = [],
  ): Promise<{ rows: Row[]; rowCount: number | null }> {
    return this.#pool.query<Row>(configOf(text, values))
  }

  async transaction<Result>(body: (sql: Sql) => Promise<Result>): Promise<Result> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(body)
      } catch (error) {
        if (attempt === 4 || !DEADLOCK.has(sqlState(error) ?? '')) throw error
      }
    }
  }

  async #once<Result>(body: (sql: Sql) => Promise<Result>): Promise<Result> {
    const client = await this.#pool.connect()
    let broken: unknown
    try {
      await client.query('begin')
      const result = await body({ query: (text, values = []) => client.query(configOf(text, values)) })
      await client.query('commit')
      return result
    } catch (error) {
      await client.query('rollback').catch(failure => {
        broken = failure
      })
      throw error
    } finally {
      client.release(broken !== undefined)
    }
  }

  close(): Promise<void> {
    this.#closing = true
    return this.#pool.end()
  }
}

const configOf = (text: Statement, values: readonly unknown[]): pg.QueryConfig<unknown[]> =>
  typeof text === 'string' ? { text, values: values as unknown[] } : { ...text, values: values as unknown[] }

const TIMESTAMPTZ = 1184
const INT8 = 20
/** bigint columns hold sizes, exact as numbers to 8 PiB; times leave as ISO 8601 text. */
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') => {
    if (oid === INT8) return Number
    if (oid === TIMESTAMPTZ) return (text: string) => new Date(text).toISOString()
    return pg.types.getTypeParser(oid, format as 'text')
  }) as typeof pg.types.getTypeParser,
}

const DEADLOCK = new Set(['40P01', '40001'])

/** Each has a digit, which tells it from EPIPE. */
function sqlState(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined
  return typeof code === 'string' && /^(?=.*[0-9])[0-9A-Z]{5}$/.test(code) ? code : undefined
}

/** Was a constraint broken, and which? */
export function brokenConstraint(error: unknown): string | null {
  return sqlState(error)?.startsWith('23') === true ? ((error as { constraint?: string }).constraint ?? '') : null
}

/**
 * A database error as the caller should see it. Constraints are the last line of defence: what reaches them was not seen by the code before.
 * Connection trouble (class 08, 57P*: shutting down, 53300: too many connections, system errors, pg's own timeouts) passes.
 */
export function asCatalogError(error: unknown): CatalogError {
  if (error instanceof CatalogError) return error
  const cause = { cause: error }
  const message = error instanceof Error ? error.message : String(error)
  const state = sqlState(error)
  if (state === '23503' || state === '23502' || state?.startsWith('22') === true) {
    return new CatalogError('BAD_REQUEST', message, { constraint: brokenConstraint(error) }, cause)
  }
  if (state?.startsWith('23') === true) return new CatalogError('CONFLICT', message, { constraint: brokenConstraint(error) }, cause)
  const away = state === undefined ? isConnectionError(error) : /^(08|57P|53|40|57014)/.test(state)
  return away
    ? new CatalogError('CATALOG_UNREACHABLE', `the catalog's database cannot be used: ${message}`, {}, cause)
    : new CatalogError('CATALOG_FAULT', message, {}, cause)
}

function isConnectionError(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return 'syscall' in error || /timeout|terminated|not queryable|ended/i.test(error.message)
}
