import type pg from 'pg'

/**
 * The schema `varve` as text, for schema.sql: what a reviewer reads and what a test compares with the migrations' result.
 * (pg_dump does not come with the embedded server.)
 */
export async function dumpSchema(client: pg.Pool | pg.Client): Promise<string> {
  const parts: string[] = []
  const { rows: tables } = await client.query<{ name: string; oid: number }>(
    `select relname as name, oid from pg_class where relnamespace = 'varve'::regnamespace and relkind = 'r' and relname <> 'migrations' order by relname`,
  )
  for (const { name, oid } of tables) {
    const columns = await list(
      client,
      `select format('  %I %s%s%s', a.attname, format_type(a.atttypid, a.atttypmod), case when a.attnotnull then ' not null' else '' end,
                     case when a.attidentity = 'a' then ' generated always as identity'
                          else coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') end) as line
         from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped order by a.attnum`,
      oid,
    )
    // Constraints of type n (not null) are said with the column, and only newer servers list them; t is a trigger.
    const constraints = await list(
      client,
      `select format('  constraint %I %s', conname, pg_get_constraintdef(oid)) as line
         from pg_constraint where conrelid = $1 and contype not in ('n', 't') order by contype, conname`,
      oid,
    )
    parts.push(`create table varve.${name} (\n${[...columns, ...constraints].join(',\n')}\n);`)
    parts.push(
      ...(await list(
        client,
        `select pg_get_indexdef(indexrelid) || ';' as line from pg_index i
          where indrelid = $1 and not exists (select 1 from pg_constraint c where c.conindid = i.indexrelid and c.conrelid = $1) order by 1`,
        oid,
      )),
    )
    parts.push(
      ...(await list(
        client,
        `select pg_get_triggerdef(oid) || ';' as line from pg_trigger where tgrelid = $1 and not tgisinternal order by tgname`,
        oid,
      )),
    )
  }
  parts.push(
    ...(await list(
      client,
      `select pg_get_functiondef(oid) || ';' as line from pg_proc where pronamespace = 'varve'::regnamespace and $1::oid is not null order by proname`,
      0,
    )),
  )
  return `-- The result of all migrations; written by the test schema.test.ts with VARVE_UPDATE_SCHEMA=1.\n\n${parts.join('\n\n')}\n`
}

async function list(client: pg.Pool | pg.Client, statement: string, oid: number): Promise<string[]> {
  const { rows } = await client.query<{ line: string }>(statement, [oid])
  return rows.map(r => r.line)
}
