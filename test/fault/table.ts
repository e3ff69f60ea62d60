import type { Fault } from './driver/fault.ts'
import type { Recorded } from './record.ts'

/** docs/faults.md, made of what was measured. */
export function tableOf(faults: readonly Fault[], outcomes: readonly Recorded[]): string {
  const of = (name: string): Recorded[] => outcomes.filter(({ fault }) => fault === name)
  const bad = outcomes.filter(({ problems }) => problems.length > 0)
  const missing = faults.filter(({ name }) => of(name).length === 0)
  return `# Faults

Made by \`npm run faults\`; do not edit. A backup or restore of a whole installation (every service a process; PostgreSQL, Redis, MinIO, the reference
platform) is broken at each step named, and at random times. Restores go to a new VM, over the original, or over it by what changed, as the seed says. After each injection:

- the restore point or VM touched, and at the end of a fault all points, are read byte for byte against recorded truth;
- the platform has no snapshot, lease or VM of ours left, before anything is swept; then the product's own check finds nothing broken, and no leak but what dead or beaten
  workers had written; every pack and map in the bucket is of an attempt that was recorded before it, every manifest of a sealed point;
- no range that was done before the injection was taken again;
- the run ends as the row says.

${outcomes.length} injections of ${faults.length - missing.length} faults, ${outcomes.length - bad.length} as the table says. Again: \`npm run faults -- --only NAME --seed SEED\`. Time to recover: from the
injection to the end of the run, which itself takes a few seconds. Several installations share two cores. Queue locks of 4 s and a reconciler that looks every second for silences of 6 s; an
installation has 30, 30 and 60.

| fault | where | times | outcome | median | longest | seed, date |
| --- | --- | ---: | --- | ---: | ---: | --- |
${faults.flatMap(fault => rowOf(fault, of(fault.name))).join('\n')}
${bad.length === 0 ? '' : `\n## Not as the table says\n\n${bad.map(({ fault, point, problems }) => `- ${fault}, ${point}: ${problems.join('; ')}`).join('\n')}\n`}${
  missing.length === 0 ? '' : `\n## Not run yet\n\n${missing.map(({ name, title }) => `- \`${name}\`: ${title}`).join('\n')}\n`
}`
}

function rowOf({ name, title }: Fault, outcomes: readonly Recorded[]): string[] {
  if (outcomes.length === 0) return []
  const distinct = (words: readonly string[]): string => [...new Set(words)].join(', ')
  const where = distinct(outcomes.map(({ point }) => point))
  const ends = distinct(outcomes.map(({ state, reason }) => (reason === null ? state : `${state} (${reason})`)))
  const runs = distinct(outcomes.map(({ seed, date }) => `${seed}, ${date}`))
  const times = outcomes.map(({ recoverMs }) => recoverMs).sort((a, b) => a - b)
  const seconds = (value: number | undefined): string => (value === undefined ? '' : `${(value / 1000).toFixed(1)} s`)
  const recovery = `${seconds(times[Math.floor(times.length / 2)])} | ${seconds(times.at(-1))}`
  return [`| \`${name}\`: ${title} | ${where} | ${outcomes.length} | ${ends} | ${recovery} | ${runs} |`]
}
