/** What is known of one error code, in the table that each package keeps in its `errors.ts`. */
export interface ErrorFacts {
  /** Can the same call succeed later without anybody changing anything? */
  readonly retryable: boolean
  /** HTTP status when it reaches a user through an API. 500 if absent. */
  readonly status?: number
  /** One sentence for the documentation: when it happens and what to do. */
  readonly help: string
}

export type ErrorTable = Readonly<Record<string, ErrorFacts>>

/**
 * The base of every error that Varve throws on purpose: a literal `code` from a table, whether a retry can help, the HTTP
 * status, facts in `context` (never secrets), and the `cause`.
 *
 * Packages derive one class each:
 *
 *     export const NBD_ERRORS = { NBD_STALLED: { retryable: true, help: '…' } } as const satisfies ErrorTable
 *     export class NbdError extends VarveError<keyof typeof NBD_ERRORS> {
 *       override readonly name = 'NbdError'
 *       protected override readonly table = NBD_ERRORS
 *     }
 */
export abstract class VarveError<Code extends string = string> extends Error {
  readonly code: Code
  readonly context: Readonly<Record<string, unknown>>
  protected abstract readonly table: ErrorTable

  constructor(code: Code, message: string, context: Record<string, unknown> = {}, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.context = context
  }

  get facts(): ErrorFacts {
    return this.table[this.code] ?? { retryable: false, help: '' }
  }

  get retryable(): boolean {
    return this.facts.retryable
  }

  get status(): number {
    return this.facts.status ?? 500
  }
}

/** Was it thrown on purpose, with one of these codes? */
export function hasCode(error: unknown, ...codes: readonly string[]): error is VarveError {
  return error instanceof VarveError && codes.includes(error.code)
}

/** The wire form of an error: what APIs answer, what runs record, what jobs report. */
export interface ErrorReport {
  readonly code: string
  readonly message: string
  readonly retryable: boolean
}

/**
 * Any thrown value as a report. What was not thrown on purpose becomes `INTERNAL`; system errors keep their errno as code
 * (`ENOSPC`, `ECONNREFUSED`).
 */
export function errorReport(error: unknown): ErrorReport {
  if (error instanceof VarveError) return { code: error.code, message: error.message, retryable: error.retryable }
  if (error instanceof Error) {
    const errno = (error as NodeJS.ErrnoException).code
    const code = typeof errno === 'string' && /^E[A-Z0-9]+$/.test(errno) ? errno : 'INTERNAL'
    return { code, message: error.message || error.name, retryable: true }
  }
  return { code: 'INTERNAL', message: String(error), retryable: true }
}
