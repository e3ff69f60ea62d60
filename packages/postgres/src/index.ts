export { POSTGRES_ERRORS, PostgresError, type PostgresErrorCode } from './errors.ts'
export { type EmbeddedPostgres, type PostgresOptions, startPostgres } from './start-postgres.ts'
