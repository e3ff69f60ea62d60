import { readFile, writeFile } from 'node:fs/promises'
import type { CompactionFigures } from './compact-night.ts'
import type { StatementTime, TableSize } from './database-size.ts'
import type { Histogram } from './histogram.ts'
import type { NightFigures } from './night.ts'
import type { YearFigures } from './year.ts'

export interface Figures {
  readonly command: string
  readonly machine: string
  readonly year?: YearFigures
  readonly night?: NightFigures
  /** Lists asked for while the night went on. */
  readonly meanwhile?: ReadonlyMap<string, Histogram>
  readonly compaction?: CompactionFigures
  readonly statements: readonly StatementTime[]
}

/** What one run can measure and write without the others. */
export type Part = 'year' | 'night'

/** The figures as Markdown. */
export function markdown(figures: Figures): string {
  const { year, night, meanwhile, compaction, statements } = figures
  const parts = [`\`${figures.command}\`, ${figures.machine}.`]
  if (year !== undefined) parts.push(yearText(year))
  if (night !== undefined) parts.push(nightText(night))
  if (meanwhile !== undefined) parts.push('#### Lists while the night goes on', callsText(meanwhile))
  if (compaction !== undefined) parts.push(compactionText(compaction))
  if (statements.length > 0) {
    parts.push(
      '#### What the database spent its time on',
      table(
        ['statement', 'calls', 'mean ms', 'all s'],
        statements.map(one => [
          `\`${one.text.slice(0, 110).replaceAll('|', '\\|')}\``,
          int(one.calls),
          fix(one.meanMs, 2),
          fix(one.totalMs / 1000, 1),
        ]),
      ),
    )
  }
  return parts.join('\n\n')
}

function yearText({ points, fillSeconds, sizes, calls, background }: YearFigures): string {
  return [
    `#### A year: ${int(points)} backups`,
    `Made in ${int(fillSeconds)} s. ${sizeSentence(sizes, points)}`,
    sizesText(sizes),
    callsText(calls),
    table(
      ['what the service does by itself', 'mean ms', 'max ms'],
      background.map(({ name, meanMs, maxMs }) => [name, fix(meanMs, 2), fix(maxMs, 1)]),
    ),
  ].join('\n\n')
}

function nightText({ seconds, runs, ranges, rates, cpu, redisPeak, queuePeak, smallWait, jain, calls }: NightFigures): string {
  return [
    `#### A night: ${int(runs)} backups, ${int(ranges)} ranges`,
    table(
      ['', ''],
      [
        ['ranges a second', `${fix(ranges / seconds, 0)} over ${int(seconds)} s; by tenths ${rates.map(rate => fix(rate, 0)).join(', ')}`],
        [
          'processor seconds for 1000 ranges',
          Object.entries(cpu)
            .map(([name, value]) => `${name} ${fix(value, 2)}`)
            .join(', '),
        ],
        ['jobs in the queue of ranges, at most', int(queuePeak)],
        ['memory of Redis, at most', `${fix(redisPeak / 1e6, 1)} MB`],
        [
          'first range of a small VM while huge ones are read, after planning',
          `p50 ${fix(smallWait.at(0.5), 0)} ms, p99 ${fix(smallWait.at(0.99), 0)} ms, most ${fix(smallWait.max, 0)} ms (${int(smallWait.count)} VMs)`,
        ],
        ["Jain's index among huge VMs, 5 s at a time", jain === null ? 'too short to say' : fix(jain, 3)],
      ],
    ),
    callsText(calls),
  ].join('\n\n')
}

function compactionText({ ranges, seconds, before, after }: CompactionFigures): string {
  const bytes = (sizes: readonly TableSize[]): number => sizes.reduce((sum, size) => sum + size.bytes + size.indexes, 0)
  const of = (sizes: readonly TableSize[], table: string): TableSize | undefined => sizes.find(size => size.table === table)
  const rows = ['ranges', 'objects', 'attempts', 'images', 'runs', 'run_attempts'].map(name => [
    name,
    int(of(before, name)?.rows ?? 0),
    mb(of(before, name)),
    int(of(after, name)?.rows ?? 0),
    mb(of(after, name)),
  ])
  return [
    '#### The morning after: compaction',
    `${int(ranges)} ranges in ${int(seconds)} s: ${fix(ranges / seconds, 0)} a second, resting half of the time. Before ${fix(bytes(before) / 1e6, 0)} MB, ${fix(bytes(before) / Math.max(ranges, 1), 0)} B a range; the space is used again by the next night.`,
    table(['table', 'rows before', 'MB before', 'rows after', 'MB after'], rows),
  ].join('\n\n')
}

function sizeSentence(sizes: readonly TableSize[], points: number): string {
  const all = sizes.reduce((sum, { bytes, indexes }) => sum + bytes + indexes, 0)
  const attempts = sizes.find(size => size.table === 'run_attempts')
  const ids = attempts === undefined ? 0 : attempts.bytes + attempts.indexes
  return `${fix(all / 1e9, 2)} GB: ${int((all - ids) / points)} B a restore point, and ${int(ids / points)} B for the ids of its accepted attempts.`
}

function sizesText(sizes: readonly TableSize[]): string {
  const large = sizes.filter(({ bytes, indexes }) => bytes + indexes > 1e6)
  return table(
    ['table', 'rows', 'MB', 'indexes MB'],
    large.map(({ table: name, rows, bytes, indexes }) => [name, int(rows), fix(bytes / 1e6, 0), fix(indexes / 1e6, 0)]),
  )
}

function callsText(calls: ReadonlyMap<string, Histogram>): string {
  return table(
    ['call', 'times', 'p50 ms', 'p99 ms', 'max ms'],
    [...calls].map(([name, histogram]) => [
      name,
      int(histogram.count),
      fix(histogram.at(0.5), 1),
      fix(histogram.at(0.99), 1),
      fix(histogram.max, 1),
    ]),
  )
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, n) => (n === 0 ? '---' : '--:'))), ...rows.map(line)].join('\n')
}

const mb = (size: TableSize | undefined): string => fix(((size?.bytes ?? 0) + (size?.indexes ?? 0)) / 1e6, 0)
const fix = (value: number, digits: number): string => value.toFixed(digits)
const int = (value: number): string => Math.round(value).toLocaleString('en-US')

/** Put the figures of a part between its markers of a page. */
export async function writeBetweenMarkers(file: string, part: Part, text: string): Promise<void> {
  const begin = `<!-- ${part}: written by npm run scale -->`
  const page = await readFile(file, 'utf8')
  const [from, to] = [page.indexOf(begin), page.indexOf(`<!-- end of ${part} -->`)]
  if (from < 0 || to < from) throw new Error(`${file} has no markers for the figures of the ${part}`)
  await writeFile(file, `${page.slice(0, from + begin.length)}\n\n${text}\n\n${page.slice(to)}`)
}

/** The same for programs: percentiles instead of buckets. */
export function plain(figures: Figures): unknown {
  return JSON.parse(
    JSON.stringify(figures, (_, value) => {
      if (value instanceof Map) return Object.fromEntries(value)
      if (typeof value === 'object' && value !== null && typeof value.at === 'function' && 'count' in value) {
        return { count: value.count, p50: value.at(0.5), p99: value.at(0.99), max: value.max }
      }
      return value
    }),
  )
}
