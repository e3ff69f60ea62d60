import { randomUUID } from 'node:crypto'
import { type Command, Option } from 'commander'
import type { RunInfo } from '../api-types.ts'
import { CliError } from '../errors.ts'
import { findPoint } from '../lookup.ts'
import type { Session } from '../session.ts'
import { followRuns, JSON_OPTION, NO_WAIT_OPTION, PRIORITY_OPTION, tellStarted } from './follow-runs.ts'
import { DRY_RUN_OPTION, showPreviews } from './previews.ts'

interface Options {
  readonly to: 'new-vm' | 'original'
  readonly differential?: true
  readonly name?: string
  readonly powerOn?: true
  readonly onDamage: 'fail' | 'continue'
  readonly dryRun?: true
  readonly priority?: 'low' | 'normal' | 'high'
  readonly wait: boolean
  readonly json?: true
}

export function restoreCommand(program: Command, session: Session): void {
  program
    .command('restore')
    .summary('bring a VM back from a restore point')
    .description('Bring a VM back from a restore point, as a new VM or over the original.')
    .argument('<point>', 'id or its beginning; the name of a VM means its newest point')
    .addOption(
      new Option('--to <target>', 'make a new VM, or write over the original (which must be off)')
        .choices(['new-vm', 'original'])
        .default('new-vm'),
    )
    .option('--differential', 'with --to original: write back only what changed since the point')
    .option('--name <name>', 'name of the new VM')
    .option('--power-on', 'power it on afterwards')
    .addOption(
      new Option('--on-damage <what>', 'a block that is damaged in the repository: fail, or leave a hole and continue (exit code 5)')
        .choices(['fail', 'continue'])
        .default('fail'),
    )
    .addOption(DRY_RUN_OPTION)
    .addOption(PRIORITY_OPTION)
    .addOption(NO_WAIT_OPTION)
    .addOption(JSON_OPTION)
    .addHelpText(
      'after',
      `
Examples:
  varve restore files-1                               the newest point of files-1, to a new VM
  varve points files-1                                which points are there?
  varve restore 3fa85f64 --name files-1-monday --power-on
  varve restore 3fa85f64 --to original --differential
  varve restore files-1 --dry-run                     what would it read, take and cost?`,
    )
    .action(async (text: string, options: Options) => {
      if (options.differential && options.to !== 'original') throw new CliError('USAGE', '--differential needs --to original')
      if (options.name !== undefined && options.to === 'original') throw new CliError('USAGE', '--name is for --to new-vm')
      const api = session.api()
      const point = await findPoint(api, text)
      const reads = { target: options.to, ...(options.differential ? { differential: true } : {}) }
      if (options.dryRun) {
        return showPreviews(session, [{ path: `/v1/restore-points/${point.id}/restores`, body: reads }], options.json === true)
      }
      const body = {
        ...reads,
        ...(options.name === undefined ? {} : { name: options.name }),
        ...(options.powerOn ? { powerOn: true } : {}),
        ...(options.onDamage === 'fail' ? {} : { onDamage: options.onDamage }),
        priority: options.priority,
      }
      const run = await api.post<RunInfo>(`/v1/restore-points/${point.id}/restores`, body, { 'idempotency-key': randomUUID() })
      if (options.wait) await followRuns(session, [run], options.json === true)
      else tellStarted(session, [run], options.json === true)
    })
}
