import { GiB, MiB, TiB } from '@varve/runtime'
import { ESTATES, type Estate, type Night, night } from './capacity.ts'
import { ALLOWED, MEASURED, SETTINGS } from './capacity-constants.ts'

/** What `--capacity` prints, as Markdown: each estate's night and first full, and what one core, one host, the queue and the platform's API are good for. */
export function capacityPage(): string {
  const lines = [
    '| | reader cores, hosts, way to the store | read | stored | ranges | PUTs | time | what binds, then what next | Postgres, Redis |',
    '|---|---|--:|--:|--:|--:|--:|---|--:|',
  ]
  for (const [name, estate] of Object.entries(ESTATES)) {
    lines.push(row(`${name}, a night`, estate, night(estate)), row(`${name}, first full`, estate, night({ ...estate, changed: 1 })))
  }
  const hour = 3600
  const nights = Object.values(ESTATES).flatMap(estate => [night(estate), night({ ...estate, changed: 1 })])
  const { renewSeconds, renewSecondsMost } = SETTINGS
  const renewedLess = Object.entries(ESTATES)
    .map(([name, estate]) => `${name} ${duration(night({ ...estate, renewSeconds: renewSecondsMost }).seconds)}`)
    .join(', ')
  return [
    lines.join('\n'),
    [
      `- One reader core reads ${size(MEASURED.coreRate * hour)} an hour; N of them N times as much, until another row of the formula is longer.`,
      `- One host gives ${size(ALLOWED.hostRate * hour)} an hour at the platform's default of 800 Mbit/s, so ${(MEASURED.coreRate / ALLOWED.hostRate).toFixed(1)} hosts keep one core busy: more cores than that wait.`,
      `- Catalog and Postgres, on one core: ${count(MEASURED.rangeRate * hour)} ranges an hour. Redis, on one: ${count(MEASURED.jobRate * hour)} jobs; it holds ${count(SETTINGS.queueWindow)} ranges (VARVE_QUEUE_WINDOW) and a job a run, whatever waits.`,
      `- A snapshot of these estates is merged in ${Math.max(...nights.map(({ mergeSeconds }) => mergeSeconds)).toFixed(1)} s at most.`,
      `- Renewing ${ALLOWED.runs} leases every ${renewSeconds} s is ${(ALLOWED.runs * 60) / renewSeconds} of the ${ALLOWED.otherRate * 60} requests a minute; Varve then halves the runs at a time ("at N runs"). With VARVE_LEASE_RENEW_SECONDS=${renewSecondsMost} the nights take: ${renewedLess}.`,
    ].join('\n'),
  ].join('\n\n')
}

function row(name: string, { readerCores, hosts, storeRate }: Estate, told: Night): string {
  const { read, stored, ranges, puts, seconds, runs, fewer, needs, catalogBytes, redisBytes } = told
  const [first, second] = needs
  const binds = `${first!.resource}, ${second!.resource} (${duration(second!.seconds)})${fewer ? `, at ${runs} runs` : ''}`
  const parts = `${readerCores}, ${hosts}, ${(storeRate * 8) / 1e9} Gbit/s`
  const state = `${size(catalogBytes)}, ${(redisBytes / MiB).toFixed(1)} MiB`
  return `| ${[name, parts, size(read), size(stored), count(ranges), count(puts), duration(seconds), binds, state].join(' | ')} |`
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
