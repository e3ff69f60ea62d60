import type { Prices } from '@varve/catalog-client'
import type { Database } from './database.ts'

/** What the repository costs, as the user set it: one row, or none. */

export async function getPrices(db: Database): Promise<Prices | null> {
  const { rows } = await db.query<{ prices: Prices }>(`select prices from varve.prices`)
  return rows[0]?.prices ?? null
}

export async function setPrices(db: Database, prices: Prices | null): Promise<void> {
  if (prices === null) await db.query(`delete from varve.prices`)
  else
    await db.query(`insert into varve.prices (prices) values ($1) on conflict (only_one) do update set prices = excluded.prices`, [
      JSON.stringify(prices),
    ])
}
