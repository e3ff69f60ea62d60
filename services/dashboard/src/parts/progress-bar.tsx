import type { RunInfo } from '../api-types.ts'
import { bytes, percent, seconds } from '../format.ts'

/** A bar with its words beside it; the browser's own `progress`, so that everybody can read it. */
export function ProgressBar({ run, large = false }: { run: RunInfo; large?: boolean }) {
  const { fraction, rate, remainingSeconds } = run.progress
  const pace = [rate === null ? '' : `${bytes(rate)}/s`, remainingSeconds === null ? '' : `${seconds(remainingSeconds)} left`]
  const label = `${run.kind} of ${run.vmName}`
  return (
    <div class={large ? 'progress large' : 'progress'}>
      {run.state === 'copying' || run.endedAt !== null ? (
        <progress max={1} value={fraction} aria-label={label} />
      ) : (
        <progress aria-label={label} />
      )}
      <span class="words">
        {run.state === 'copying' ? percent(fraction) : run.state}
        {run.paused ? ' (paused)' : ''} <span class="quiet">{pace.filter(Boolean).join(', ')}</span>
      </span>
    </div>
  )
}
