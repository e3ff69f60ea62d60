import { randomUUID } from 'node:crypto'
import type { Command } from 'commander'
import type { RunInfo } from '../api-types.ts'
import { findVm } from '../lookup.ts'
import type { Session } from '../session.ts'
import { followRuns, JSON_OPTION, NO_WAIT_OPTION, PRIORITY_OPTION, tellStarted } from './follow-runs.ts'
import { DRY_RUN_OPTION, showPreviews } from './previews.ts'

interface Options {
  readonly full?: true
  readonly enableCbt: boolean
  readonly dryRun?: true
  readonly priority?: 'low' | 'normal' | 'high'
  readonly wait: boolean
  readonly json?: true
}

export function backupCommand(program: Command, session: Session): void {
  program
    .command('backup')
    .summary('back VMs up')
    .description('Back VMs up: incremental where changed block tracking allows it, else full, and says why.')
    .argument('<vm...>', 'name, id or the beginning of the id')
    .option('--full', 'read every disk in full')
    .option('--no-enable-cbt', 'leave changed block tracking off where it is off')
    .addOption(DRY_RUN_OPTION)
    .addOption(PRIORITY_OPTION)
    .addOption(NO_WAIT_OPTION)
    .addOption(JSON_OPTION)
    .addHelpText(
      'after',
      `
Examples:
  varve backup files-1 database-1       both at the same time, with progress, until both have ended
  varve backup files-1 --no-wait        start it and return; look later with: varve runs
  varve backup files-1 --dry-run        what would it read, store, take and cost?
  varve backup files-1 --full --json    one JSON line for each change; the last has "type":"result"`,
    )
    .action(async (names: string[], options: Options) => {
      const api = session.api()
      // All names are looked up before anything is started: a typing error in the last starts nothing.
      const vms = []
      for (const name of names) vms.push(await findVm(api, name))
      const ids = [...new Set(vms.map(({ id }) => id))]
      const reads = { ...(options.full ? { full: true } : {}), ...(options.enableCbt ? {} : { enableCbt: false }) }
      if (options.dryRun) {
        const wanted = ids.map(id => ({ path: `/v1/vms/${id}/backups`, body: reads }))
        return showPreviews(session, wanted, options.json === true)
      }
      const body = { ...reads, priority: options.priority }
      const runs = []
      for (const id of ids) {
        runs.push(await api.post<RunInfo>(`/v1/vms/${id}/backups`, body, { 'idempotency-key': randomUUID() }))
      }
      if (options.wait) await followRuns(session, runs, options.json === true)
      else tellStarted(session, runs, options.json === true)
    })
}
