import { CATALOG_ERRORS } from '@varve/catalog-client'
import type { ErrorTable } from '@varve/errors'
import { PLATFORM_ERRORS } from '@varve/platform'
import { QUEUE_ERRORS } from '@varve/queue'

/** What to do, by error code, from the tables where the codes are made. */
function helpOf(...tables: readonly ErrorTable[]): Record<string, string> {
  return Object.fromEntries(tables.flatMap(table => Object.entries(table).map(([code, { help }]) => [code, help])))
}

/**
 * What to do about a run that failed, by its error code. Whoever starts the api adds the tables of the services it runs
 * (`errorHelp`), which the api does not know.
 */
export const RUN_HELP: Readonly<Record<string, string>> = {
  ...helpOf(QUEUE_ERRORS, CATALOG_ERRORS, PLATFORM_ERRORS),
  ENOSPC: 'The repository is full. Make room, then start the run again.',
  CANCELLED: 'Somebody cancelled it. Nothing half-made is kept.',
}
