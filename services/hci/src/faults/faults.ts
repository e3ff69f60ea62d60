import { randomUUID } from 'node:crypto'
import Type, { type Static } from 'typebox'

/**
 * A scripted fault: what goes wrong (`kind`), for whom (`match`, every given field must fit), how often (`count`, absent = until removed).
 *
 * | kind | where | params |
 * |---|---|---|
 * | `http-status` | any call | `status`, `retry_after` (s), `message` |
 * | `http-slow` | any call | `ms` |
 * | `http-slow-answer` | any call | `ms` (the call takes effect at once, its answer comes later) |
 * | `http-drop` | any call | – (the connection is reset) |
 * | `http-drop-answer` | any call | – (the call takes effect, its answer is lost) |
 * | `answer-merge` | any call answered with success | `data` (laid over the answer's data; in lists over every row) |
 * | `task-fail` | a task, by `match.action` | `message`, `ms` (wait first) |
 * | `task-slow` | a task, by `match.action` | `ms` |
 * | `lease-refused` | creating a lease | – (answers occupied) |
 * | `lease-lost` | at once | – (running leases that match expire now) |
 * | `changed-areas` | changed-areas | `mode`: `overlap`, `backwards`, `past-end`, `endless`, `malformed`, `empty` |
 * | `cbt-expired` | changed-areas | – |
 * | `nbd` | a connection to the backup NBD port | `mode`: `drop`, `stall`, `garbage`; `after_bytes` sent to the client; or `slow`, `bytes_per_second` each way |
 */
export const FaultSpec = Type.Object({
  kind: Type.Enum([
    'http-status',
    'http-slow',
    'http-slow-answer',
    'http-drop',
    'http-drop-answer',
    'answer-merge',
    'task-fail',
    'task-slow',
    'lease-refused',
    'lease-lost',
    'changed-areas',
    'cbt-expired',
    'nbd',
  ]),
  match: Type.Optional(
    Type.Object(
      {
        method: Type.Optional(Type.String()),
        /** Regular expression on the path with its query. */
        path: Type.Optional(Type.String({ maxLength: 200 })),
        vm_id: Type.Optional(Type.String()),
        disk_id: Type.Optional(Type.String()),
        action: Type.Optional(Type.String()),
      },
      { additionalProperties: false },
    ),
  ),
  count: Type.Optional(Type.Integer({ minimum: 1 })),
  params: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
})
export type FaultSpec = Static<typeof FaultSpec>

/** What a fault is matched with; fields that do not apply are absent. */
export interface FaultSubject {
  readonly method?: string
  readonly path?: string
  readonly vm_id?: string
  readonly disk_id?: string
  readonly action?: string
}

export interface Fault {
  readonly id: string
  readonly spec: FaultSpec
  readonly hits: number
}

export class Faults {
  readonly enabled: boolean
  readonly #faults = new Map<string, Fault>()

  constructor(enabled: boolean) {
    this.enabled = enabled
  }

  add(spec: FaultSpec): Fault {
    const fault = { id: randomUUID(), spec, hits: 0 }
    this.#faults.set(fault.id, fault)
    return fault
  }

  list(): readonly Fault[] {
    return [...this.#faults.values()]
  }

  clear(): void {
    this.#faults.clear()
  }

  /** The oldest fault of this kind that fits, counted as used; undefined when none does. */
  take(kind: FaultSpec['kind'], subject: FaultSubject): FaultSpec | undefined {
    for (const fault of this.#faults.values()) {
      if (fault.spec.kind !== kind || !fits(fault.spec.match ?? {}, subject)) continue
      const hits = fault.hits + 1
      if (fault.spec.count !== undefined && hits > fault.spec.count) continue
      this.#faults.set(fault.id, { ...fault, hits })
      return fault.spec
    }
    return undefined
  }
}

export function fits(match: NonNullable<FaultSpec['match']>, subject: FaultSubject): boolean {
  return Object.entries(match).every(([key, wanted]) => {
    const actual = subject[key as keyof FaultSubject]
    if (actual === undefined) return false
    return key === 'path' ? new RegExp(wanted).test(actual) : actual === wanted
  })
}

export function numberParam(spec: FaultSpec, name: string, fallback: number): number {
  const value = spec.params?.[name]
  return typeof value === 'number' && Number.isFinite(value) ? value : fallback
}

export function textParam(spec: FaultSpec, name: string, fallback: string): string {
  const value = spec.params?.[name]
  return typeof value === 'string' ? value : fallback
}
