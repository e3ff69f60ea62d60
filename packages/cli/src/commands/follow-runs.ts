import { Option } from 'commander'
import type { RunInfo } from '../api-types.ts'
import { exitCodeOfRun, followRun, type ProgressView, worstExitCode } from '../follow.ts'
import { barView, jsonView, plainView } from '../progress-view.ts'
import type { Session } from '../session.ts'
import { progressLine, shortId, summary } from '../words.ts'

export const JSON_OPTION = new Option('--json', 'print JSON: one document, or one a line while following')
export const PRIORITY_OPTION = new Option(
  '--priority <which>',
  'which runs go first when there are more than the platform may have',
).choices(['low', 'normal', 'high'])
export const NO_WAIT_OPTION = new Option('--no-wait', 'do not wait for the end: print the run and return')

/** Follow runs to their ends, show how they go, tell what became of them, and set the exit code. */
export async function followRuns(session: Session, runs: readonly RunInfo[], json: boolean): Promise<void> {
  const view = viewFor(session, json)
  let ended: RunInfo[]
  try {
    const api = session.api()
    ended = await Promise.all(runs.map(({ id }) => followRun(api, id, run => view.update(run), session.signal)))
  } catch (error) {
    if (session.signal.aborted) {
      view.done()
      session.remark(
        `The run${runs.length > 1 ? 's go' : ' goes'} on. Look: varve runs ${first(runs)} --follow   Stop it: varve cancel ${first(runs)}`,
      )
    }
    throw error
  } finally {
    view.done()
  }
  for (const run of ended) tellEnded(session, run, json)
  session.exitCode = worstExitCode(ended.map(exitCodeOfRun))
}

export function tellEnded(session: Session, run: RunInfo, json: boolean): void {
  if (json) {
    session.print(JSON.stringify({ type: 'result', run }))
    return
  }
  session.print(summary(run))
  if (run.state !== 'failed') return
  session.remark(`${run.reason ?? 'INTERNAL'}: ${run.message ?? 'no message'}`)
  if (run.help !== null) session.remark(`  ${run.help}`)
}

/** What `--no-wait` prints. */
export function tellStarted(session: Session, runs: readonly RunInfo[], json: boolean): void {
  if (json) {
    session.print(JSON.stringify(runs))
    return
  }
  for (const run of runs) session.print(`${progressLine(run)}  (run ${shortId(run.id)})`)
  session.remark(`Follow: varve runs ${first(runs)} --follow`)
}

function first(runs: readonly RunInfo[]): string {
  return shortId(runs[0]?.id ?? '')
}

function viewFor(session: Session, json: boolean): ProgressView {
  if (json) return jsonView(session.print)
  return process.stderr.isTTY === true ? barView(process.stderr) : plainView(session.remark)
}
