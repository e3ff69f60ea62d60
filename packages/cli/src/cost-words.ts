import type { BasisInfo, FiguresInfo, PredictedDiskInfo, PredictionInfo, PriceInfo, RunInfo } from './api-types.ts'
import { formatTable } from './table.ts'
import { formatBytes, formatDuration } from './units.ts'

/* What runs are expected to do, and did, told to people. Pure. */

const FROM = { disk: 'of this disk', vm: 'of this VM', platform: 'on its platform' } as const

function basisText({ from, runs }: BasisInfo): string {
  return from === 'default' ? 'a default: nothing to go by yet' : `from ${runs} past ${runs === 1 ? 'run' : 'runs'} ${FROM[from]}`
}

const SMALLEST = 0.000001

/** `0.0123 EUR`, four digits that tell something. */
function money(amount: number, currency: string): string {
  if (amount > 0 && amount < SMALLEST) return `less than ${SMALLEST.toFixed(6)} ${currency}`
  return `${amount === 0 ? '0' : amount.toPrecision(amount >= 1000 ? Math.ceil(Math.log10(amount)) : 4)} ${currency}`
}

function priceText(price: PriceInfo): string {
  const keep = price.perMonth > 0 ? `, and ${money(price.perMonth, price.currency)} for each month of keeping it` : ''
  return `${money(price.run, price.currency)}${keep}`
}

const readText = ({ read, exact }: { readonly read: number; readonly exact: boolean }, of: PredictionInfo['of']): string =>
  `${exact ? '' : of === 'backup' ? 'at most ' : 'about '}${formatBytes(read)}`

/** A preview that ended well. */
export function previewText(run: RunInfo & { readonly prediction: PredictionInfo }): string {
  const { prediction, vmName, notes } = run
  const { of } = prediction
  const backup = of === 'backup'
  const table = formatTable<PredictedDiskInfo>(
    [
      { title: 'DISK', value: disk => disk.diskId },
      { title: 'KIND', value: disk => `${disk.kind}${disk.reason === null ? '' : ` (${disk.reason})`}` },
      { title: backup ? 'CHANGED' : 'WRITE', value: disk => formatBytes(disk.planned), right: true },
      { title: 'READ', value: disk => readText(disk, of), right: true },
      ...(backup ? [{ title: 'STORE', value: (disk: PredictedDiskInfo) => formatBytes(disk.stored), right: true }] : []),
      ...(backup ? [{ title: 'STORE IS', value: (disk: PredictedDiskInfo) => basisText(disk.storedBasis) }] : []),
    ],
    prediction.disks,
  )
  return [
    `${vmName}: a ${of} now would`,
    ...table.split('\n').map(line => `  ${line}`),
    `  read ${readText(prediction, of)}${backup ? '' : ' from the repository'}${prediction.exact ? ', exactly, if nothing is written meanwhile' : ''}`,
    ...(backup
      ? [`  store about ${formatBytes(prediction.stored)} in ${prediction.puts} PUTs, with ${prediction.gets} GETs`]
      : [`  take ${prediction.gets} GETs`]),
    `  take about ${formatDuration(prediction.seconds * 1000)} (${basisText(prediction.secondsBasis)})`,
    `  cost ${prediction.price === null ? 'what nobody knows: set prices with varve repository prices' : priceText(prediction.price)}`,
    ...notes.map(note => `  note: ${note}`),
  ].join('\n')
}

/** Expected and actual side by side, of a run that has both. */
export function comparedText({ prediction, actual }: Pick<RunInfo, 'prediction' | 'actual'>): string {
  if (prediction === null || actual === null) return ''
  const rows: (readonly [string, string, string])[] = [
    ['read', readText(prediction, prediction.of), formatBytes(actual.read)],
    ...(prediction.of === 'backup' ? [['stored', formatBytes(prediction.stored), formatBytes(actual.stored)] as const] : []),
    ...(prediction.of === 'backup' ? [['PUTs', String(prediction.puts), String(actual.puts)] as const] : []),
    ['time', formatDuration(prediction.seconds * 1000), formatDuration(actual.seconds * 1000)],
    ...priceRows(prediction, actual),
  ]
  return formatTable(
    [
      { title: '', value: ([name]) => name },
      { title: 'EXPECTED', value: ([, expected]) => expected, right: true },
      { title: 'ACTUAL', value: ([, , was]) => was, right: true },
    ],
    rows,
  )
}

function priceRows({ price: expected }: FiguresInfo, { price: was }: FiguresInfo): (readonly [string, string, string])[] {
  if (expected === null || was === null) return []
  const rows: (readonly [string, string, string])[] = [['price', money(expected.run, expected.currency), money(was.run, was.currency)]]
  if (expected.perMonth > 0 || was.perMonth > 0) {
    rows.push(['price per month', money(expected.perMonth, expected.currency), money(was.perMonth, was.currency)])
  }
  return rows
}
