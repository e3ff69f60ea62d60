import type { RunInfo } from './api-types.ts'
import { previewText } from './cost-words.ts'
import { formatBytes, formatDuration } from './units.ts'

/* How runs are told to people. Pure. */

export function shortId(id: string): string {
  return id.slice(0, 8)
}

/** `3 min ago`. */
export function age(time: string | null, now: number): string {
  if (time === null) return '-'
  const seconds = Math.max(0, Math.round((now - Date.parse(time)) / 1000))
  if (seconds < 60) return `${seconds} s ago`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h ago`
  return `${Math.floor(seconds / 86_400)} d ago`
}

/** `84.0 MiB/s, 12.0 s left`; empty while nothing is copied. */
export function pace({ progress }: RunInfo): string {
  const { rate, remainingSeconds } = progress
  if (rate === null) return ''
  return `${formatBytes(rate)}/s${remainingSeconds === null ? '' : `, ${formatDuration(remainingSeconds * 1000)} left`}`
}

/** `copying`; `copying (paused)` while it is held. */
export function stateOf({ state, paused }: RunInfo): string {
  return paused ? `${state} (paused)` : state
}

const BOTTLENECKS = {
  source: "the platform's disks",
  throttle: 'the limit of bytes a second that the platform was given',
  cpu: 'the processors of the workers',
  store: 'the repository',
} as const

/** One line about a run that is under way. */
export function progressLine(run: RunInfo): string {
  const percent = `${Math.floor(run.progress.fraction * 100)} %`
  const parts = [`${run.vmName}: ${stateOf(run)}`, ...(run.state === 'copying' ? [percent, pace(run)] : [])]
  return parts.filter(part => part !== '').join(', ')
}

export function took(run: RunInfo): string {
  if (run.endedAt === null) return '-'
  return formatDuration(Date.parse(run.endedAt) - Date.parse(run.startedAt ?? run.createdAt))
}

/** What a run that ended has done, in one line and one for each disk, and its notes. */
export function summary(run: RunInfo): string {
  const { totals, prediction } = run
  if (run.kind === 'preview' && prediction !== null) return previewText({ ...run, prediction })
  const lines = [`${run.vmName}: ${run.kind} ${run.state} in ${took(run)}`]
  // A run that failed before it planned anything has no figures to tell.
  if (totals.planned === 0 && run.images.length === 0) return [...lines, ...noteLines(run)].join('\n')
  if (run.kind === 'backup') {
    lines.push(
      `  read ${formatBytes(totals.read)} of ${formatBytes(totals.planned)} named as changed, stored ${formatBytes(totals.written)}` +
        ` (${formatBytes(totals.unchanged)} turned out equal, ${formatBytes(totals.zero)} zero)`,
    )
    for (const image of run.images) {
      const why = image.reason === null ? '' : ` (${image.reason}) ${image.reasonText ?? ''}`
      lines.push(`  ${image.diskId}: ${image.kind}${why.trimEnd()}`)
    }
    if (run.restorePointId !== null) lines.push(`  restore point ${shortId(run.restorePointId)}`)
  } else {
    lines.push(
      `  wrote ${formatBytes(totals.written)}, left ${formatBytes(totals.zero)} as holes, read ${formatBytes(totals.read)} from the repository`,
    )
    if (run.targetPlatformVmId !== null) lines.push(`  VM ${run.targetPlatformVmId} on the platform`)
  }
  if (run.bottleneck !== null) lines.push(`  waited most for ${BOTTLENECKS[run.bottleneck]}`)
  return [...lines, ...noteLines(run)].join('\n')
}

function noteLines({ notes }: RunInfo): string[] {
  return notes.map(note => `  note: ${note}`)
}
