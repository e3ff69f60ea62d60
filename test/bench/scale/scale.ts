import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createCatalogClient } from '@varve/catalog-client'
import { Closer, GiB } from '@varve/runtime'
import { ROOT } from '../../support/system.ts'
import { allVms, bringVms } from './bring-vms.ts'
import { compactNight } from './compact-night.ts'
import { query, resetStatements, statementTimes } from './database-size.ts'
import { fillYear } from './fill-year.ts'
import { simulateNight } from './night.ts'
import { seeded } from './random.ts'
import { type Figures, markdown, type Part, plain, writeBetweenMarkers } from './report.ts'
import { startCatalog, startDatabases, TOKEN } from './servers.ts'
import { measureYear } from './year.ts'
import { measureCalls, yearCalls } from './year-calls.ts'

const HELP = `npm run scale: the catalog and the queue with 10,000 VMs: a year of restore points, and a night of a million ranges.

Real PostgreSQL, real Redis, the real catalog service; workers that do everything but move data.

  npm run scale                          a year, then a night on top of it, then the compaction of the night; writes docs/scale.md
  npm run scale -- --quick               1,000 VMs, 30 days, 20,000 ranges; writes nothing
  npm run scale -- --only night          of year, night
  npm run scale -- --vms 10000 --days 365 --ranges 1000000 --active 100 --workers 2 --range-ms 3 --seed 1
  npm run scale -- --json                the figures as JSON on stdout; --no-write leaves docs/scale.md alone
  npm run scale -- --folder /tmp         where the database lies (about 20 GB for all of it)`

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    'no-write': { type: 'boolean', default: false },
    only: { type: 'string', default: 'year,night' },
    vms: { type: 'string' },
    days: { type: 'string' },
    ranges: { type: 'string' },
    active: { type: 'string', default: '100' },
    workers: { type: 'string', default: '2' },
    'range-ms': { type: 'string', default: '3' },
    times: { type: 'string', default: '300' },
    seed: { type: 'string', default: '1' },
    folder: { type: 'string', default: '/tmp' },
  },
})
const note = (line: string): void => void process.stderr.write(`${line}\n`)

async function main(): Promise<void> {
  const only = new Set(values.only.split(','))
  const vms = Number(values.vms ?? (values.quick ? 1000 : 10_000))
  const days = only.has('year') ? Number(values.days ?? (values.quick ? 30 : 365)) : 0
  const ranges = Number(values.ranges ?? (values.quick ? 20_000 : 1_000_000))
  const random = seeded(Number(values.seed))
  const closer = new Closer()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void closer.close().finally(() => process.exit(130)))
  try {
    const folder = await mkdtemp(join(values.folder, 'varve-scale-'))
    closer.add('folder', () => rm(folder, { recursive: true, force: true }))
    const databases = await startDatabases(folder, closer)
    const settings = { VARVE_RECONCILE_INTERVAL: '5' }
    let service = await startCatalog(databases, folder, settings)
    closer.add('catalog', () => service.close())
    const open = () => createCatalogClient({ url: service.url, token: TOKEN })
    let catalog = open()
    closer.add('client', () => catalog.close())
    const restart = async (): Promise<void> => {
      await catalog.close()
      await service.close()
      service = await startCatalog(databases, folder, settings)
      catalog = open()
    }

    note(`${vms} VMs`)
    await bringVms(catalog, vms)
    const about = { command: commandLine(), machine: machine() }
    const writes = !values.quick && !values['no-write']
    /** At once: what comes after it may be cut off. */
    const tell = async (part: Part, figures: Figures): Promise<void> => {
      process.stdout.write(values.json ? `${JSON.stringify({ part, ...(plain(figures) as object) }, null, 2)}\n` : `${markdown(figures)}\n`)
      if (writes) await writeBetweenMarkers(join(ROOT, 'docs', 'scale.md'), part, markdown(figures))
    }
    if (only.has('year')) {
      await service.close()
      const fillSeconds = await fillYear(databases.databaseUrl, { days, ranges: ranges / vms }, note)
      await restart()
      await resetStatements(databases.databaseUrl)
      const all = await allVms(catalog)
      const options = { catalog, vms: all, days, random, times: Number(values.times), users: 4, fillSeconds }
      await tell('year', { ...about, statements: [], year: await measureYear(databases.databaseUrl, service.url, options) })
      await leaveNothingUnderWay(databases.databaseUrl)
    }
    if (only.has('night')) {
      await resetStatements(databases.databaseUrl)
      const all = await allVms(catalog)
      const calls = Object.fromEntries(
        Object.entries(yearCalls({ catalog, vms: all, days, random })).filter(([name]) => name.startsWith('list')),
      )
      let over = false
      const looks =
        days === 0
          ? undefined
          : measureCalls(
              calls,
              Number.POSITIVE_INFINITY,
              1,
              () => sleep(100),
              () => over,
            )
      const night = await simulateNight(
        { databases, service, catalog, closer },
        {
          night: { vms, ranges },
          active: Number(values.active),
          workers: Number(values.workers),
          rangeMs: Number(values['range-ms']),
          vms: all,
          random,
          note,
        },
      )
      over = true
      const meanwhile = looks === undefined ? {} : { meanwhile: await looks }
      const figures = { ...about, night, ...meanwhile, statements: await statementTimes(databases.databaseUrl, 15) }
      await tell('night', figures)
      await tell('night', { ...figures, compaction: await compactNight(databases.databaseUrl, restart, note) })
    }
  } finally {
    await closer.close()
  }
}

/** The runs that were created to measure it have no workers; the night should not wait for them. */
async function leaveNothingUnderWay(databaseUrl: string): Promise<void> {
  await query(databaseUrl, `delete from varve.outbox`)
  await query(databaseUrl, `update varve.runs set state = outcome, ended_at = now() where state = 'finishing'`)
}

function commandLine(): string {
  const args = process.argv.slice(2)
  return `npm run scale${args.length === 0 ? '' : ` -- ${args.join(' ')}`}`
}

function machine(): string {
  const date = new Date().toISOString().slice(0, 10)
  return `${date}, ${availableParallelism()} cores for everything, ${Math.round(totalmem() / GiB)} GiB, Node ${process.versions.node}, PostgreSQL as \`startPostgres\` sets it up (64 MB of shared buffers)`
}

if (values.help) process.stdout.write(`${HELP}\n`)
else await main()
