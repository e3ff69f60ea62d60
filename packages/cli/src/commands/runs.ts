import { type Command, InvalidArgumentError } from 'commander'
import type { Items, RunInfo } from '../api-types.ts'
import { comparedText } from '../cost-words.ts'
import { findRun, findVm } from '../lookup.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'
import { age, pace, progressLine, shortId, stateOf, summary, took } from '../words.ts'
import { followRuns, JSON_OPTION } from './follow-runs.ts'

interface Options {
  readonly vm?: string
  readonly active?: true
  readonly limit: number
  readonly follow?: true
  readonly json?: true
}

export function runsCommand(program: Command, session: Session): void {
  program
    .command('runs')
    .summary('list runs, or show one')
    .description('List backups and restores, newest first; with an id, show or follow one.')
    .argument('[run]', 'id or its beginning')
    .option('--vm <vm>', 'only those of this VM')
    .option('--active', 'only those that have not ended')
    .option('--limit <n>', 'at most that many', limit, 20)
    .option('--follow', 'with an id: show progress until it ends; the exit code is that of the run')
    .addOption(JSON_OPTION)
    .addHelpText(
      'after',
      `
Examples:
  varve runs --active
  varve runs 3fa85f64             what it did, disk by disk, why a disk was read in full, and what was expected of it
  varve runs 3fa85f64 --follow    wait for it`,
    )
    .action(async (text: string | undefined, options: Options) => {
      if (text === undefined) return listRuns(session, options)
      const run = await findRun(session.api(), text)
      if (options.follow) return followRuns(session, [run], options.json === true)
      if (options.json) return session.print(JSON.stringify(run, null, 2))
      session.print(run.endedAt === null ? progressLine(run) : summary(run))
      const compared = comparedText(run)
      if (compared !== '') session.print(`\n${compared}`)
      if (run.state === 'failed') session.print(`  ${run.reason}: ${run.message}${run.help === null ? '' : `\n  ${run.help}`}`)
    })

  program
    .command('cancel')
    .summary('cancel a run')
    .description('Cancel a run. Its snapshot and lease are released; nothing half-made is kept.')
    .argument('<run>', 'id or its beginning')
    .addOption(JSON_OPTION)
    .addHelpText('after', '\nExample:\n  varve cancel 3fa85f64')
    .action(async (text: string, options: { json?: true }) => {
      const { id } = await findRun(session.api(), text)
      const run = await session.api().post<RunInfo>(`/v1/runs/${id}/cancel`, undefined)
      if (options.json) return session.print(JSON.stringify(run, null, 2))
      const ended = run.endedAt !== null
      session.print(
        ended ? `${run.vmName}: ${run.kind} ended: ${run.state}` : `${run.vmName}: ${run.kind} will be cancelled (${run.state})`,
      )
    })

  for (const [action, words] of Object.entries(HOLDING)) {
    program
      .command(action)
      .summary(words.summary)
      .description(words.description)
      .argument('<run>', 'id or its beginning')
      .addOption(JSON_OPTION)
      .addHelpText('after', `\nExample:\n  varve ${action} 3fa85f64`)
      .action(async (text: string, options: { json?: true }) => {
        const { id } = await findRun(session.api(), text)
        const run = await session.api().post<RunInfo>(`/v1/runs/${id}/${action}`, undefined)
        if (options.json) return session.print(JSON.stringify(run, null, 2))
        session.print(`${run.vmName}: ${run.kind} ${run.endedAt === null ? words.done : 'has ended'} (${run.state})`)
      })
  }
}

const HOLDING = {
  pause: {
    summary: 'pause a run',
    description:
      'Pause a run: within seconds nothing of it is read or written. Its snapshot and lease stay until it is resumed or cancelled.',
    done: 'is paused',
  },
  resume: { summary: 'resume a paused run', description: 'Go on with a run that is paused.', done: 'goes on' },
} as const

async function listRuns(session: Session, options: Options): Promise<void> {
  const query = new URLSearchParams({ limit: String(options.limit) })
  if (options.active) query.set('active', 'true')
  if (options.vm !== undefined) query.set('vmId', (await findVm(session.api(), options.vm)).id)
  const { items } = await session.api().get<Items<RunInfo>>(`/v1/runs?${query}`)
  if (options.json) return session.print(JSON.stringify(items, null, 2))
  if (items.length === 0) return session.remark('No runs. Start one with: varve backup VM')
  const now = Date.now()
  session.print(
    formatTable<RunInfo>(
      [
        { title: 'RUN', value: run => shortId(run.id) },
        { title: 'VM', value: run => run.vmName },
        { title: 'KIND', value: run => kindOf(run) },
        { title: 'STATE', value: run => (run.reason === null ? stateOf(run) : `${run.state} (${run.reason})`) },
        { title: 'DONE', value: run => `${Math.floor(run.progress.fraction * 100)} %`, right: true },
        { title: 'STARTED', value: run => age(run.createdAt, now), right: true },
        { title: 'TOOK', value: run => (run.endedAt === null ? pace(run) : took(run)) },
      ],
      items,
    ),
  )
}

function kindOf(run: RunInfo): string {
  if (run.kind === 'preview') return run.prediction === null ? run.kind : `preview (${run.prediction.of})`
  if (run.kind === 'restore' || run.images.length === 0) return run.kind
  const kinds = new Set(run.images.map(({ kind }) => kind))
  return kinds.size > 1 ? 'mixed' : (run.images[0]?.kind ?? run.kind)
}

function limit(text: string): number {
  const n = Number(text)
  if (!Number.isInteger(n) || n < 1 || n > 500) throw new InvalidArgumentError('a whole number from 1 to 500 is needed')
  return n
}
