/** What the repository costs, in a currency of the user's. */
export interface Prices {
  /** ISO 4217, three capital letters. */
  readonly currency: string
  readonly perGibMonth: number
  readonly perThousandPuts: number
  readonly perThousandGets: number
  /** Of what is read from the repository. */
  readonly perGibRead: number
}

/** The upper end only keeps typing errors out. */
export const PRICE_MAX = 1_000_000

export interface Price {
  readonly currency: string
  /** Once: requests, and in a restore what is read. */
  readonly run: number
  /** For as long as what it stored is kept. */
  readonly perMonth: number
}

const GiB = 1024 ** 3

/** @param what `fetched`: bytes read from the repository */
export function priceOf(
  what: { readonly stored: number; readonly puts: number; readonly gets: number; readonly fetched: number },
  prices: Prices,
): Price {
  const run =
    (what.puts / 1000) * prices.perThousandPuts + (what.gets / 1000) * prices.perThousandGets + (what.fetched / GiB) * prices.perGibRead
  return { currency: prices.currency, run, perMonth: (what.stored / GiB) * prices.perGibMonth }
}
