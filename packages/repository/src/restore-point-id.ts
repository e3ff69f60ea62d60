import { createHash } from 'node:crypto'

/** The id of the point that a run seals: a UUID (version 8) made from the run's, so that sealing twice makes the same point. */
export function restorePointIdOf(runId: string): string {
  const hex = createHash('sha256').update(`varve restore point of run ${runId}`).digest('hex')
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 0x3) | 0x8).toString(16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
