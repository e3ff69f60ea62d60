import type { Logger } from '@varve/runtime'

/** Settings of the SCP driver; everything has a default. */
export interface ScpOptions {
  readonly log?: Logger
  /** PEM of the CA that signed the platform's certificate, where no public one did. Certificates are always verified. */
  readonly ca?: string
  /**
   * The platform has too much to do: it answered 429, or asked to wait (`throttled`), or a request takes longer than `slowMs` (`slow`). Called for each
   * such answer; must not throw.
   */
  readonly onPressure?: (reason: 'throttled' | 'slow') => void
  /** A request that takes longer counts as slow, ms (default 10 000). */
  readonly slowMs?: number
  /** Connections to the platform (default 8). */
  readonly connections?: number
  /** Time limit of one request, from sending to the last byte of the answer, ms (default 30 000). */
  readonly requestMs?: number
  /** How often a request is sent in all when the platform fails or the connection breaks (default 4). */
  readonly tries?: number
  /** First pause between two of them, ms; doubled each time (default 200). */
  readonly retryPauseMs?: number
  /** How long a request may wait altogether because of 429, ms (default 180 000). */
  readonly throttleMs?: number
  /** Bytes of an answer at most (default 16 MiB). */
  readonly maxAnswerBytes?: number
  /** How long a task may go without progress, ms (default 10 minutes). */
  readonly taskStallMs?: number
  /** How long a guest may take to shut down before it is switched off, ms (default 120 000). */
  readonly shutdownMs?: number
  /** Answers of changed-areas for one disk at most (default 200 000). */
  readonly maxChangedAreaPages?: number
  /** `snap_type` of our snapshots; absent = the platform's default kind. */
  readonly snapshotType?: string
  /** AK/SK: what clients sign differs (default region `cn-south-1`, service `open-api`, headers `x-amz-date`). */
  readonly signing?: { readonly region?: string; readonly service?: string; readonly headers?: readonly string[] }
  /** Hash of the OAEP padding of `/janus/v2/authenticate` (default `sha1`; which one SCP uses is not public). */
  readonly oaepHash?: string
}

export const SCP_DEFAULTS = {
  connections: 8,
  requestMs: 30_000,
  slowMs: 10_000,
  tries: 4,
  retryPauseMs: 200,
  throttleMs: 180_000,
  maxAnswerBytes: 16 * 1024 * 1024,
  taskStallMs: 600_000,
  shutdownMs: 120_000,
  maxChangedAreaPages: 200_000,
  oaepHash: 'sha1',
} as const
