import { BLOCK_MAP_ERRORS } from '@varve/block-map'
import { BLOCK_READER_ERRORS } from '@varve/block-reader'
import { BLOCK_WRITER_ERRORS } from '@varve/block-writer'
import type { ErrorTable } from '@varve/errors'
import { NBD_ERRORS } from '@varve/nbd'
import { PLATFORM_ERRORS } from '@varve/platform'
import { RANGE_WORKER_ERRORS } from '@varve/range-worker'
import { REPOSITORY_ERRORS } from '@varve/repository'
import { SNAPSHOT_ERRORS } from '@varve/snapshot'

const TABLES: readonly ErrorTable[] = [
  NBD_ERRORS,
  BLOCK_MAP_ERRORS,
  REPOSITORY_ERRORS,
  PLATFORM_ERRORS,
  RANGE_WORKER_ERRORS,
  BLOCK_READER_ERRORS,
  BLOCK_WRITER_ERRORS,
  SNAPSHOT_ERRORS,
]

/** What to do, by the code that a failed run shows: from the tables of everything that works on runs. */
export const ERROR_HELP: Readonly<Record<string, string>> = Object.fromEntries(
  TABLES.flatMap(table => Object.entries(table).map(([code, { help }]) => [code, help])),
)
