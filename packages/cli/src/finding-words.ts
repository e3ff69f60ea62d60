import type { CheckInfo, FindingInfo } from './api-types.ts'

/* How checks and what they find are told to people. Pure. */

export function progressOfCheck({ state, progress }: CheckInfo): string {
  if (progress === null) return state === 'queued' ? 'check: waits to be taken up' : 'check: begins'
  const { vms, objects, points, pages } = progress.seen
  return `check: ${progress.step}; so far ${vms} VMs, ${objects} objects, ${points} points, ${pages} pages`
}

/** One line each; below the first of each code what it means. */
export function findingLines(findings: readonly FindingInfo[]): string[] {
  const explained = new Set<string>()
  return findings.flatMap(({ code, kind, subject, message, help, swept }) => {
    const line = `${swept ? 'swept ' : ''}${kind} ${code}: ${subject}: ${message}`
    if (explained.has(code)) return [line]
    explained.add(code)
    return [line, `  ${help}`]
  })
}

export function checkSummary({ summary }: CheckInfo): string {
  if (summary === null) return ''
  const { broken, leaks, notes, swept, findings, seen } = summary
  const found = findings === 0 ? 'Nothing found' : `${broken} broken, ${leaks} leaks (${swept} swept), ${notes} notes`
  const looked = [
    `${seen.vms} VMs`,
    `${seen.snapshots} snapshots`,
    `${seen.leases} leases`,
    `${seen.objects} objects`,
    `${seen.points} points`,
    `${seen.pages} pages`,
  ]
  return `${found}. Looked at ${looked.join(', ')}.`
}
