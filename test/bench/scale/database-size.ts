import pg from 'pg'

export interface TableSize {
  readonly table: string
  readonly rows: number
  readonly bytes: number
  readonly indexes: number
}

export async function query<Row extends pg.QueryResultRow>(url: string, text: string, values: readonly unknown[] = []): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Row>(text, [...values])).rows
  } finally {
    await client.end()
  }
}

/** Tables of the catalog, largest first; bytes with what is stored beside the table (TOAST). */
export async function tableSizes(url: string): Promise<TableSize[]> {
  return query<{ table: string; rows: number; bytes: number; indexes: number }>(
    url,
    `select relname as table, greatest(reltuples, 0)::float8 as rows, pg_table_size(oid)::float8 as bytes, pg_indexes_size(oid)::float8 as indexes
       from pg_class where relnamespace = 'varve'::regnamespace and relkind = 'r' order by pg_total_relation_size(oid) desc`,
  )
}

export interface StatementTime {
  readonly text: string
  readonly calls: number
  readonly meanMs: number
  readonly maxMs: number
  readonly totalMs: number
}

export async function resetStatements(url: string): Promise<void> {
  await query(url, 'select pg_stat_statements_reset()')
}

/** What the database spent its time on, most first. */
export async function statementTimes(url: string, limit = 20, like = '%'): Promise<StatementTime[]> {
  return query<StatementTime>(
    url,
    `select regexp_replace(query, '\\s+', ' ', 'g') as text, calls::float8 as calls, mean_exec_time as "meanMs", max_exec_time as "maxMs",
            total_exec_time as "totalMs"
       from pg_stat_statements where query like $2 and dbid = (select oid from pg_database where datname = current_database())
      order by total_exec_time desc limit $1`,
    [limit, like],
  )
}
