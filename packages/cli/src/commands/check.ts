import type { Command } from 'commander'
import type { CheckInfo, FindingInfo, LeaksInfo } from '../api-types.ts'
import { CliError } from '../errors.ts'
import { EXIT_CODES, type ExitCode } from '../exit-codes.ts'
import { checkSummary, findingLines } from '../finding-words.ts'
import { followCheck } from '../follow-check.ts'
import type { Session } from '../session.ts'
import { JSON_OPTION } from './follow-runs.ts'

interface Options {
  readonly sweep?: true
  readonly last?: true
  readonly json?: true
}

export function checkCommand(program: Command, session: Session): void {
  program
    .command('check')
    .summary('check that what is stored and recorded holds together')
    .description(
      'Check every invariant: that each restore point can be restored as far as catalog, listings and block maps tell, that each run under way lives, and that nothing is left behind. Reads no blocks.',
    )
    .option('--sweep', 'take away what is owned by no run')
    .addOption(JSON_OPTION)
    .addHelpText(
      'after',
      `
Exit code 6: something is broken, or something that is owned by nobody is still there. Notes alone are 0.

Examples:
  varve check
  varve check --json | jq '.findings[] | select(.kind == "broken")'`,
    )
    .action((options: Options) => look(session, 'all', options))

  program
    .command('leaks')
    .summary('look for what is owned by no run')
    .description('Look for snapshots, VMs, leases and objects in the repository that are owned by no run.')
    .option('--sweep', 'take them away')
    .option('--last', 'do not look anew: print what is known from the last looks')
    .addOption(JSON_OPTION)
    .addHelpText(
      'after',
      `
The maintenance service looks at what changed lately every few minutes, and sweeps. What it cannot be sure of stays until a person sweeps: an object
whose owner is not known goes when it was there at the check before, too, and no restore point in the repository needs it.

Exit code 6: something that is owned by nobody is still there.

Examples:
  varve leaks
  varve leaks --sweep
  varve leaks --last`,
    )
    .action((options: Options) => (options.last ? known(session, options) : look(session, 'leaks', options)))
}

async function look(session: Session, scope: 'leaks' | 'all', { sweep, json }: Options): Promise<void> {
  const api = session.api()
  const { id } = await api.post<CheckInfo>('/v1/checks', { scope, sweep: sweep === true })
  const check = await followCheck(api, id, line => json !== true && session.remark(line), session.signal)
  if (json) session.print(JSON.stringify(check, null, 2))
  if (check.state === 'failed') throw new CliError('CHECK_FAILED', `${check.reason}: ${check.message}`)
  const findings = check.findings ?? []
  if (!json) for (const line of [...findingLines(findings), checkSummary(check)]) session.print(line)
  session.exitCode = exitCodeOf(findings)
}

async function known(session: Session, { json }: Options): Promise<void> {
  const leaks = await session.api().get<LeaksInfo>('/v1/leaks')
  session.exitCode = exitCodeOf(leaks.items)
  if (json) return session.print(JSON.stringify(leaks, null, 2))
  if (leaks.checkedAt === null) return session.remark('Nobody has looked yet. Look: varve leaks')
  for (const line of findingLines(leaks.items)) session.print(line)
  session.print(`${leaks.items.length} at ${leaks.checkedAt}${leaks.underWay ? '; another look is under way' : ''}`)
}

/** Notes are for people; a leak that was taken away is none any more. */
function exitCodeOf(findings: readonly FindingInfo[]): ExitCode {
  return findings.some(({ kind, swept }) => kind !== 'note' && !swept) ? EXIT_CODES.FINDINGS : EXIT_CODES.OK
}
