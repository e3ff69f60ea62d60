import { type ErrorTable, VarveError } from '@varve/errors'
import { EXIT_CODES, type ExitCode } from './exit-codes.ts'

export const CLI_ERRORS = {
  USAGE: { retryable: false, help: 'See --help of the command.' },
  AMBIGUOUS: { retryable: false, help: 'Give more characters of the id.' },
  NOT_FOUND: {
    retryable: false,
    help: 'List what there is: varve vm list, varve points, varve runs, varve platform list, varve extract --list.',
  },
  NO_TOKEN: {
    retryable: false,
    help: 'Set VARVE_API_TOKEN, or VARVE_HOME to the folder of a running standalone, or start one with: varve standalone',
  },
  API_UNREACHABLE: { retryable: true, help: 'Start Varve with: varve standalone. Or set VARVE_API_URL to where it runs.' },
  API_ANSWER_INVALID: { retryable: false, help: 'Something else than Varve answers there; check VARVE_API_URL.' },
  STATE_FILE_INVALID: { retryable: false, help: 'Remove the file and start standalone again, or set VARVE_API_URL and VARVE_API_TOKEN.' },
  CHECK_FAILED: {
    retryable: true,
    help: 'The check could not be done: the message says what did not answer. Nothing was found out; do it again.',
  },
  DATA_DAMAGED: {
    retryable: false,
    help: 'The repository cannot give back all of the disk. `--on-damage continue` extracts what is whole; another restore point may have the rest.',
  },
  OUTPUT_EXISTS: { retryable: false, help: 'Name another file, or replace it with --force.' },
  OUTPUT_FAILED: { retryable: false, help: 'The file could not be written: look at its folder, permissions and free space.' },
  NOT_INSTALLED: { retryable: false, help: 'Run "npm run build" in the checkout of Varve.' },
} as const satisfies ErrorTable

export class CliError extends VarveError<keyof typeof CLI_ERRORS> {
  override readonly name = 'CliError'
  protected override readonly table = CLI_ERRORS
}

/** What the API refused, as it said it. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError'
  readonly status: number
  readonly code: string
  readonly retryable: boolean
  readonly help: string | undefined

  constructor(status: number, body: { code: string; message: string; retryable: boolean; help?: string }) {
    super(body.message)
    this.status = status
    this.code = body.code
    this.retryable = body.retryable
    this.help = body.help
  }
}

const EXITS: Partial<Record<string, ExitCode>> = {
  USAGE: EXIT_CODES.USAGE,
  AMBIGUOUS: EXIT_CODES.USAGE,
  NOT_FOUND: EXIT_CODES.NOT_FOUND,
  NO_TOKEN: EXIT_CODES.NO_ACCESS,
  API_UNREACHABLE: EXIT_CODES.NO_ACCESS,
  API_ANSWER_INVALID: EXIT_CODES.NO_ACCESS,
  STATE_FILE_INVALID: EXIT_CODES.NO_ACCESS,
}

/** Of a repository that `extract` reads by itself. */
const REPOSITORY_EXITS: Partial<Record<string, ExitCode>> = {
  REPOSITORY_NOT_FOUND: EXIT_CODES.NOT_FOUND,
  STORE_URL_INVALID: EXIT_CODES.USAGE,
  STORE_DENIED: EXIT_CODES.NO_ACCESS,
  STORE_UNAVAILABLE: EXIT_CODES.NO_ACCESS,
}

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof RefusedError) {
    if (error.status === 401) return EXIT_CODES.NO_ACCESS
    if (error.status === 400) return EXIT_CODES.USAGE
    return error.status === 404 ? EXIT_CODES.NOT_FOUND : EXIT_CODES.FAILED
  }
  if (error instanceof CliError) return EXITS[error.code] ?? EXIT_CODES.FAILED
  return error instanceof VarveError ? (REPOSITORY_EXITS[error.code] ?? EXIT_CODES.FAILED) : EXIT_CODES.FAILED
}

/** Code, message and what to do about any thrown value. */
export function explain(error: unknown): { code: string; message: string; retryable: boolean; help?: string } {
  if (error instanceof RefusedError) {
    const { code, message, retryable, help } = error
    return { code, message, retryable, ...(help === undefined ? {} : { help }) }
  }
  if (error instanceof VarveError) {
    const { code, message, retryable, facts } = error
    return { code, message, retryable, ...(facts.help === '' ? {} : { help: facts.help }) }
  }
  return { code: 'INTERNAL', message: error instanceof Error ? error.message : String(error), retryable: false }
}
