import { Option } from 'commander'
import type { PredictionInfo, RunInfo } from '../api-types.ts'
import { previewText } from '../cost-words.ts'
import { exitCodeOfRun, followRun, worstExitCode } from '../follow.ts'
import type { Session } from '../session.ts'

export const DRY_RUN_OPTION = new Option(
  '--dry-run',
  'do nothing; tell what it would read, store, take and cost (a snapshot is made and taken away again where that is needed)',
)

/** Start previews, wait for them, tell what they found, and set the exit code. With --json: one document, all of them. */
export async function showPreviews(
  session: Session,
  wanted: readonly { readonly path: string; readonly body: object }[],
  json: boolean,
): Promise<void> {
  const api = session.api()
  const started: RunInfo[] = []
  for (const { path, body } of wanted) started.push(await api.post<RunInfo>(`${path}/preview?wait=0`, body))
  const ended = await Promise.all(started.map(({ id }) => followRun(api, id, () => {}, session.signal)))
  session.exitCode = worstExitCode(ended.map(exitCodeOfRun))
  if (json) return session.print(JSON.stringify(ended, null, 2))
  for (const run of ended) {
    if (isForetold(run)) session.print(previewText(run))
    else {
      session.remark(`${run.vmName}: no preview: ${run.reason ?? run.state}: ${run.message ?? ''}`)
      if (run.help !== null) session.remark(`  ${run.help}`)
    }
  }
}

function isForetold(run: RunInfo): run is RunInfo & { readonly prediction: PredictionInfo } {
  return run.prediction !== null && run.state === 'succeeded'
}
