import { writeFile } from 'node:fs/promises'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { ROOT } from '../support/system.ts'
import type { Fault } from './driver/fault.ts'
import type { Outcome } from './driver/story.ts'

/** docs/faults.md, made of what was measured. */
export async function writeTable(
  faults: readonly Fault[],
  outcomes: readonly Outcome[],
  about: { readonly seed: number; readonly ms: number },
): Promise<void> {
  await writeFile(join(ROOT, 'docs', 'faults.md'), tableOf(faults, outcomes, about))
}

export function tableOf(
  faults: readonly Fault[],
  outcomes: readonly Outcome[],
  { seed, ms }: { readonly seed: number; readonly ms: number },
): string {
  const rows = faults.map(fault =>
    rowOf(
      fault,
      outcomes.filter(outcome => outcome.fault === fault.name),
    ),
  )
  const bad = outcomes.filter(({ problems }) => problems.length > 0)
  return `# Faults

Made by \`npm run faults\`; do not edit. A backup or restore of a whole installation (every service a process; PostgreSQL, Redis, MinIO, the reference
platform) is broken at each step named. After each injection: the restore point touched, and at the end of a fault all points, are read byte for byte against recorded
truth; leaks are looked for on the platform and in the bucket; the run ends as the row says.

${outcomes.length} injections, ${outcomes.length - bad.length} as the table says; ${Math.round(ms / 60_000)} min on ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB.
Again: \`npm run faults -- --seed ${seed}\`; one fault: \`npm run faults -- --only NAME\`. Time to recover: from the injection to the end of the run,
which itself takes a few seconds. Queue locks of 4 s and a reconciler that looks every second for silences of 6 s; an installation has 30, 30 and 60.

| fault | where | times | outcome | median | longest |
| --- | --- | ---: | --- | ---: | ---: |
${rows.join('\n')}
${bad.length === 0 ? '' : `\n## Not as the table says\n\n${bad.map(({ fault, point, problems }) => `- ${fault}, ${point}: ${problems.join('; ')}`).join('\n')}\n`}`
}

function rowOf({ name, title }: Fault, outcomes: readonly Outcome[]): string {
  const where = [...new Set(outcomes.map(({ point }) => point))].join(', ')
  const ends = [...new Set(outcomes.map(({ state, reason }) => (reason === null ? state : `${state} (${reason})`)))].join(', ')
  const times = outcomes.map(({ recoverMs }) => recoverMs).sort((a, b) => a - b)
  const seconds = (value: number | undefined): string => (value === undefined ? '' : `${(value / 1000).toFixed(1)} s`)
  return `| \`${name}\`: ${title} | ${where} | ${outcomes.length} | ${ends} | ${seconds(times[Math.floor(times.length / 2)])} | ${seconds(times.at(-1))} |`
}
