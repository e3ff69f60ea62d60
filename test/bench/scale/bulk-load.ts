import pg from 'pg'

/**
 * Let `fill` write millions of rows: without foreign keys, keys and indexes, which are made again afterwards. Only for a database of our own: until the end
 * it is not safe against a crash.
 */
export async function bulkLoad(
  databaseUrl: string,
  note: (line: string) => void,
  fill: (connections: readonly pg.Client[]) => Promise<void>,
): Promise<void> {
  const clients = await Promise.all([connect(databaseUrl), connect(databaseUrl)])
  const [first, second] = clients as [pg.Client, pg.Client]
  try {
    for (const setting of Object.entries(FAST)) await first.query(`alter system set ${setting[0]} = '${setting[1]}'`)
    await first.query('select pg_reload_conf()')
    for (const client of clients)
      await client.query(`set session_replication_role = replica; set maintenance_work_mem = '1GB'; set work_mem = '256MB'`)
    const { rows } = await first.query<{ drop: string; make: string; rank: number }>(DEFINITIONS)
    for (const { drop } of rows) await first.query(drop)
    await fill(clients)
    for (const rank of [3, 2, 1]) {
      const makes = rows.filter(row => row.rank === rank).map(row => row.make)
      note(`making ${makes.length} ${['', 'foreign keys', 'keys', 'indexes'][rank]}`)
      // A foreign key locks two tables, which two connections would take in different orders; not checked, it is made at once.
      const hands = rank === 1 ? [first] : [first, second]
      await Promise.all(
        hands.map((client, at) =>
          runAll(
            client,
            makes.filter((_, n) => n % hands.length === at),
          ),
        ),
      )
    }
    note('vacuum')
    await first.query('vacuum (analyze)')
    for (const name of Object.keys(FAST)) await first.query(`alter system reset ${name}`)
    await first.query('select pg_reload_conf()')
    await first.query('checkpoint')
  } finally {
    await Promise.all(clients.map(client => client.end()))
  }
}

const FAST = { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off', autovacuum: 'off' }

async function runAll(client: pg.Client, statements: readonly string[]): Promise<void> {
  for (const text of statements) await client.query(text)
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  return client
}

/** Foreign keys first, then keys, then other indexes. Foreign keys come back unchecked for what is there: the rows are made to fit. */
const DEFINITIONS = `
  select format('alter table %s drop constraint %I', conrelid::regclass, conname) as drop,
         format('alter table %s add constraint %I %s%s', conrelid::regclass, conname, pg_get_constraintdef(oid), case contype when 'f' then ' not valid' else '' end) as make,
         case contype when 'f' then 1 else 2 end as rank
    from pg_constraint where connamespace = 'varve'::regnamespace and contype in ('f', 'p', 'u') and conrelid <> 'varve.migrations'::regclass
  union all
  select format('drop index %s', indexrelid::regclass), pg_get_indexdef(indexrelid), 3
    from pg_index i join pg_class c on c.oid = i.indrelid
   where c.relnamespace = 'varve'::regnamespace and not exists (select 1 from pg_constraint where conindid = indexrelid)
  order by rank`
