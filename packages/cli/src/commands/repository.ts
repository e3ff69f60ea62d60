import { type Command, InvalidArgumentError } from 'commander'
import type { PricesInfo } from '../api-types.ts'
import { CliError } from '../errors.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'
import { JSON_OPTION } from './follow-runs.ts'

type Prices = NonNullable<PricesInfo['prices']>
type Options = Partial<Prices> & { readonly none?: true; readonly json?: true }

const PATH = '/v1/repository/prices'
const NAMES = ['currency', 'perGibMonth', 'perThousandPuts', 'perThousandGets', 'perGibRead'] as const satisfies (keyof Prices)[]
const NOTHING = { perGibMonth: 0, perThousandPuts: 0, perThousandGets: 0, perGibRead: 0 }

export function repositoryCommand(program: Command, session: Session): void {
  const repository = program.command('repository').summary('the repository').description('What is set of the repository as a whole.')
  repository
    .command('prices')
    .summary('show or set what the repository costs')
    .description('Show what the repository costs, and change what is given. Previews and runs are priced by it.')
    .option('--currency <code>', 'three capital letters, e.g. EUR', currency)
    .option('--per-gib-month <n>', 'one GiB kept for a month', amount)
    .option('--per-thousand-puts <n>', '1,000 PUT requests', amount)
    .option('--per-thousand-gets <n>', '1,000 GET requests', amount)
    .option('--per-gib-read <n>', 'one GiB read from the repository', amount)
    .option('--none', 'forget all prices')
    .addOption(JSON_OPTION)
    .addHelpText(
      'after',
      `
Examples:
  varve repository prices
  varve repository prices --currency USD --per-gib-month 0.023 --per-thousand-puts 0.005 --per-thousand-gets 0.0004 --per-gib-read 0.09
  varve repository prices --none`,
    )
    .action(async ({ json, none, ...options }: Options) => {
      const given = Object.fromEntries(NAMES.filter(name => options[name] !== undefined).map(name => [name, options[name]]))
      const changes = Object.keys(given).length > 0
      if (none && changes) throw new CliError('USAGE', '--none goes with no other price')
      const api = session.api()
      if (none) await api.delete(PATH)
      let { prices } = await api.get<PricesInfo>(PATH)
      if (changes) {
        const set = { ...NOTHING, ...prices, ...given }
        if (!('currency' in set)) throw new CliError('USAGE', 'the first prices need a --currency')
        prices = (await api.put<PricesInfo>(PATH, set)).prices
      }
      if (json) return session.print(JSON.stringify({ prices }, null, 2))
      session.print(prices === null ? 'No prices are set.' : pricesTable(prices))
    })
}

function pricesTable({ currency, perGibMonth, perThousandPuts, perThousandGets, perGibRead }: Prices): string {
  return formatTable(
    [
      { title: 'PRICE', value: ([name]) => name },
      { title: currency, value: ([, value]) => value, right: true },
    ],
    [
      ['1 GiB kept for a month', String(perGibMonth)],
      ['1,000 PUTs', String(perThousandPuts)],
      ['1,000 GETs', String(perThousandGets)],
      ['1 GiB read', String(perGibRead)],
    ] as const,
  )
}

function currency(text: string): string {
  if (!/^[A-Z]{3}$/.test(text)) throw new InvalidArgumentError('three capital letters are needed')
  return text
}

function amount(text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new InvalidArgumentError('a number from 0 on is needed')
  return Number(text)
}
