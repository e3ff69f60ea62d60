import { type CheckSeen, type CheckSummary, FINDING_CODES, FINDINGS_MAX, type Finding, type FindingCode } from '@varve/catalog-client'

/** Takes one leak away. @returns false, or why: not now, it is in use or not sure to be nobody's */
export type TakeAway = (signal: AbortSignal) => Promise<boolean | string>

export interface Found {
  readonly code: FindingCode
  readonly subject: string
  readonly message: string
  readonly runId?: string | null
  readonly platformId?: string | null
  /** How it is taken away, should this check sweep. */
  readonly takeAway?: TakeAway
  /** It is gone already. */
  readonly swept?: boolean
}

export type Seen = { -readonly [K in keyof CheckSeen]: number }

const ORDER = ['broken', 'leak', 'note'] as const
const MESSAGE_MAX = 1000
const SUBJECT_MAX = 1024

interface Kept {
  finding: Finding
  readonly takeAway: TakeAway | undefined
}

/**
 * What a check has found so far. The same about the same thing is once. Of each kind so many are kept that an answer is bounded; the rest is counted, and
 * left for the next check.
 */
export class Findings {
  readonly seen: Seen = { vms: 0, snapshots: 0, leases: 0, objects: 0, points: 0, images: 0, pages: 0 }
  readonly #kept = { broken: new Map<string, Kept>(), leak: new Map<string, Kept>(), note: new Map<string, Kept>() }
  readonly #counts = new Map<FindingCode, number>()

  add({ code, subject, message, runId = null, platformId = null, takeAway, swept = false }: Found): void {
    const { kind, invariant } = FINDING_CODES[code]
    const kept = this.#kept[kind]
    const key = `${code} ${platformId} ${subject}`
    if (kept.has(key)) return
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1)
    if (kept.size >= FINDINGS_MAX) return
    const finding: Finding = {
      code,
      kind,
      invariant,
      subject: subject.slice(0, SUBJECT_MAX),
      runId,
      platformId,
      message: message.slice(0, MESSAGE_MAX),
      swept,
    }
    kept.set(key, { finding, takeAway })
  }

  /** Take away what can be, one after the other. A failure is said with the leak and does not keep the others. */
  async sweep(mayTake: (finding: Finding) => boolean, signal: AbortSignal): Promise<void> {
    for (const kept of this.#kept.leak.values()) {
      const { finding, takeAway } = kept
      if (finding.swept || takeAway === undefined || !mayTake(finding)) continue
      signal.throwIfAborted()
      try {
        const taken = await takeAway(signal)
        if (taken === true) kept.finding = { ...finding, swept: true }
        if (typeof taken === 'string') kept.finding = { ...finding, message: `${finding.message}; ${taken}`.slice(0, MESSAGE_MAX) }
      } catch (error) {
        signal.throwIfAborted()
        const why = error instanceof Error ? error.message : String(error)
        kept.finding = { ...finding, message: `${finding.message}; it could not be taken away: ${why}`.slice(0, MESSAGE_MAX) }
      }
    }
  }

  list(): Finding[] {
    return ORDER.flatMap(kind => [...this.#kept[kind].values()].map(({ finding }) => finding)).slice(0, FINDINGS_MAX)
  }

  summary(): CheckSummary {
    const count = (kind: (typeof ORDER)[number]): number =>
      [...this.#counts].reduce((sum, [code, n]) => (FINDING_CODES[code].kind === kind ? sum + n : sum), 0)
    const [broken, leaks, notes] = ORDER.map(count) as [number, number, number]
    const swept = [...this.#kept.leak.values()].filter(({ finding }) => finding.swept).length
    return {
      findings: broken + leaks + notes,
      leaks,
      broken,
      notes,
      swept,
      byCode: Object.fromEntries(this.#counts),
      seen: { ...this.seen },
    }
  }
}
