import { GiB, MiB, TiB } from '@varve/runtime'
import { ALLOWED, ESTATES, type Estate, MEASURED, type Night, night } from './capacity.ts'

/** What `--capacity` prints, as Markdown: each estate's night and first full, and what one core and one host are good for. */
export function capacityPage(): string {
  const lines = [
    '| | reader cores, hosts, way to the store | read | stored | ranges | PUTs | time | what binds, then what next | Postgres |',
    '|---|---|--:|--:|--:|--:|--:|---|--:|',
  ]
  for (const [name, estate] of Object.entries(ESTATES)) {
    lines.push(row(`${name}, a night`, estate, night(estate)), row(`${name}, first full`, estate, night({ ...estate, changed: 1 })))
  }
  const hour = 3600
  return [
    lines.join('\n'),
    [
      `- One reader core reads ${size(MEASURED.coreRate * hour)} an hour; N of them N times as much, until another row of the formula is longer.`,
      `- One host gives ${size(ALLOWED.hostRate * hour)} an hour at the platform's default of 800 Mbit/s, so ${(MEASURED.coreRate / ALLOWED.hostRate).toFixed(1)} hosts keep one core busy: more cores than that wait.`,
      `- Catalog and Postgres, on one core: ${(MEASURED.rangeRate * hour).toLocaleString('en-US')} ranges an hour. Redis holds only the window (VARVE_QUEUE_WINDOW), whatever waits.`,
    ].join('\n'),
  ].join('\n\n')
}

function row(
  name: string,
  { readerCores, hosts, storeRate }: Estate,
  { read, stored, ranges, puts, seconds, needs, catalogBytes }: Night,
): string {
  const [first, second] = needs
  const binds = `${first!.resource}, ${second!.resource} (${duration(second!.seconds)})`
  const parts = `${readerCores}, ${hosts}, ${(storeRate * 8) / 1e9} Gbit/s`
  return `| ${[name, parts, size(read), size(stored), count(ranges), count(puts), duration(seconds), binds, size(catalogBytes)].join(' | ')} |`
}

function size(bytes: number): string {
  if (bytes >= TiB) return `${(bytes / TiB).toFixed(1)} TiB`
  return bytes >= GiB ? `${(bytes / GiB).toFixed(1)} GiB` : `${(bytes / MiB).toFixed(0)} MiB`
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

function duration(seconds: number): string {
  if (seconds >= 86_400) return `${(seconds / 86_400).toFixed(1)} days`
  return seconds >= 3600 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 60).toFixed(1)} min`
}
