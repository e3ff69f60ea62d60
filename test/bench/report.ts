import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ROOT } from '../support/system.ts'
import { targetChart } from './chart.ts'
import { machine, versions } from './machine.ts'
import { median, type Samples } from './samples.ts'
import type { Settings } from './settings.ts'
import type { TargetRow } from './targets.ts'

export interface Results {
  readonly settings: Settings
  readonly samples: Samples
  readonly rows: readonly TargetRow[]
  readonly skipped: readonly string[]
  readonly failed: readonly string[]
}

const PAGE = join(ROOT, 'docs', 'performance.md')
const CHART = join(ROOT, 'docs', 'performance.svg')

/** On the screen, or as JSON, and into the page where that is wanted. */
export async function writeReport(results: Results, args: readonly string[]): Promise<void> {
  const { settings, rows } = results
  if (settings.json) for (const row of rows) console.log(JSON.stringify(row))
  else console.log(`\n${tables(results)}`)
  if (!settings.write) return
  const command = ['npm run bench', ...(args.length > 0 ? ['--', ...args] : [])].join(' ')
  const head = `\`${command}\`, ${new Date().toISOString().slice(0, 10)}, ${machine()}; ${await versions()}. Medians of ${settings.rounds} rounds; ratios are medians of the rounds' ratios.`
  const picture = `![How far each figure is from its target](${CHART.split('/').at(-1)})`
  await writeFile(CHART, targetChart(rows))
  await writeToPage('bench', [head, picture, tables(results)].join('\n\n'))
}

/** Into docs/performance.md, between the markers of that name. */
export async function writeToPage(name: string, text: string): Promise<void> {
  await writeFile(PAGE, betweenMarkers(await readFile(PAGE, 'utf8'), name, text))
}

export function tables({ samples, rows, skipped, failed }: Results): string {
  const missing = [...failed, ...skipped].map(line => `- ${line}`).join('\n')
  return [
    table(
      ['target', '', 'measured', 'met'],
      rows.map(row => [
        row.name,
        row.target,
        row.measured === null ? 'not measured' : `${row.measured} ${row.unit}`,
        row.met ? 'yes' : '**no**',
      ]),
    ),
    table(
      ['subject', 'wall s (min-max)', 'CPU s', 'server CPU s', 'other CPU s', 'peak MiB', 'puts', 'gets', 'stored MiB', 'MiB/s'],
      samples.names.map(name => subjectRow(samples, name)),
    ),
    ...(missing === '' ? [] : [`Left out:\n\n${missing}`]),
  ].join('\n\n')
}

function subjectRow(samples: Samples, name: string): string[] {
  const walls = samples.of(name).map(({ wall }) => wall)
  const figure = (key: string, scale = 1, digits = 0): string => {
    const value = samples.median(name, key)
    return value === undefined || value === 0 ? '' : (value * scale).toFixed(digits)
  }
  const [least, most] = [Math.min(...walls), Math.max(...walls)]
  const range = walls.length > 1 ? ` (${seconds(least)}-${seconds(most)})` : ''
  const wall = most === 0 ? '' : `${seconds(median(walls))}${range}`
  const MiB = 2 ** -20
  return [
    name,
    wall,
    figure('cpu', 1, 2),
    figure('serverCpu', 1, 2),
    figure('otherCpu', 1, 1),
    figure('peak', MiB),
    figure('puts'),
    figure('gets'),
    figure('stored', MiB),
    figure('mibs'),
  ]
}

/** Micro benchmarks take microseconds. */
function seconds(value: number): string {
  return value >= 0.01 ? value.toFixed(2) : value.toExponential(1)
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, n) => (n === 0 ? '---' : '--:'))), ...rows.map(line)].join('\n')
}

/** A page with other text between `<!-- NAME: … -->` and `<!-- end of NAME -->`. @throws Error when it has no such markers */
export function betweenMarkers(page: string, name: string, text: string): string {
  const begin = page.indexOf(`<!-- ${name}:`)
  const from = page.indexOf('-->', begin) + 3
  const to = page.indexOf(`<!-- end of ${name} -->`)
  if (begin < 0 || to < from) throw new Error(`the page has no markers for ${name}`)
  return `${page.slice(0, from)}\n\n${text}\n\n${page.slice(to)}`
}
