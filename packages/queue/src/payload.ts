import { QueueError } from './errors.ts'
import { plainText } from './plain-text.ts'
import type { JobName, JobPayloads } from './queue.ts'

/** The fields of each payload: all are ids. */
const FIELDS: { readonly [Name in JobName]: readonly (keyof JobPayloads[Name] & string)[] } = {
  'prepare-backup': ['runId'],
  'read-range': ['runId', 'rangeId'],
  'seal-restore-point': ['runId'],
  'prepare-restore': ['runId'],
  'write-range': ['runId', 'rangeId'],
  'finish-run': ['runId'],
  'prepare-preview': ['runId'],
}

/** Ids are UUIDs or short names; anything longer is a mistake. */
const MAX_ID = 256

/**
 * Exactly the known fields of a payload, as it goes into a queue and as it comes out of one.
 *
 * @throws QueueError QUEUE_JOB_INVALID
 */
export function checkPayload<Name extends JobName>(name: Name, payload: unknown): JobPayloads[Name] {
  const fields = Object.hasOwn(FIELDS, name) ? FIELDS[name] : undefined
  if (fields === undefined) throw new QueueError('QUEUE_JOB_INVALID', `no job is called ${plainText(String(name), 64)}`)
  const checked: Record<string, string> = {}
  for (const field of fields as readonly string[]) {
    const value = (payload as Record<string, unknown> | null | undefined)?.[field]
    if (typeof value !== 'string' || value.length === 0 || value.length > MAX_ID) {
      throw new QueueError('QUEUE_JOB_INVALID', `a ${name} job needs a ${field} of 1 to ${MAX_ID} characters`)
    }
    checked[field] = plainText(value)
  }
  return checked as unknown as JobPayloads[Name]
}

/**
 * Our id as BullMQ takes it. BullMQ refuses `:` and plain integers; encoding keeps different ids different, the prefix
 * keeps integers apart.
 */
export function bullJobId(id: string): string {
  if (typeof id !== 'string' || id.length === 0 || id.length > MAX_ID) {
    throw new QueueError('QUEUE_JOB_INVALID', `a job id has 1 to ${MAX_ID} characters`)
  }
  return `j-${encodeURIComponent(plainText(id))}`
}
