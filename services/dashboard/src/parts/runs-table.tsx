import type { RunInfo } from '../api-types.ts'
import { age, bytes, seconds } from '../format.ts'
import { useNow } from '../live.ts'
import { runLink, vmLink } from '../route.ts'
import { ProgressBar } from './progress-bar.tsx'
import { StateBadge } from './state-badge.tsx'

export function RunsTable({ runs, caption, withVm = true }: { runs: readonly RunInfo[]; caption: string; withVm?: boolean }) {
  const now = useNow(runs.some(({ endedAt }) => endedAt === null) ? 1000 : 15_000)
  return (
    <table class="cards">
      <caption>{caption}</caption>
      <thead>
        <tr>
          <th scope="col">Run</th>
          {withVm ? <th scope="col">VM</th> : null}
          <th scope="col">State</th>
          <th scope="col" class="number">
            {'Read'}
          </th>
          <th scope="col" class="number">
            {'Stored / written'}
          </th>
          <th scope="col">Started</th>
          <th scope="col">Took</th>
        </tr>
      </thead>
      <tbody>
        {runs.map(run => (
          <tr key={run.id}>
            <th scope="row">
              <a href={runLink(run.id)}>{nameOf(run)}</a>
            </th>
            {withVm ? (
              <td data-label="VM">
                <a href={vmLink(run.vmId)}>{run.vmName}</a>
              </td>
            ) : null}
            <td data-label="State">
              {run.endedAt === null ? <ProgressBar run={run} /> : <StateBadge state={run.state} />}
              {run.reason === null ? null : <code class="reason">{run.reason}</code>}
            </td>
            <td data-label="Read" class="number">
              {bytes(run.totals.read)}
            </td>
            <td data-label="Stored / written" class="number">
              {bytes(run.totals.written)}
            </td>
            <td data-label="Started">{age(run.createdAt, now)}</td>
            <td data-label="Took">{took(run, now)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** A backup by what it turned out to be, once that is known. */
function nameOf({ kind, images }: RunInfo): string {
  const kinds = [...new Set(images.map(image => image.kind))]
  return kind === 'backup' && kinds.length === 1 ? `${kinds[0]} backup` : kind
}

export function took(run: RunInfo, now: number): string {
  const end = run.endedAt === null ? now : Date.parse(run.endedAt)
  return seconds((end - Date.parse(run.startedAt ?? run.createdAt)) / 1000)
}

/** A fetched list of runs brought up to date by what the event stream told since. */
export function upToDate(fetched: readonly RunInfo[], live: ReadonlyMap<string, RunInfo>, belongs: (run: RunInfo) => boolean): RunInfo[] {
  const all = new Map(fetched.map(run => [run.id, run]))
  for (const run of live.values()) {
    const known = all.get(run.id)
    // A list fetched after the run ended is newer than an old event.
    if (belongs(run) && (known === undefined || known.endedAt === null)) all.set(run.id, run)
  }
  return [...all.values()].sort((a, b) => b.createdAt.localeCompare(a.createdAt))
}
