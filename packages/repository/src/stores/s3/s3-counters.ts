/** What a store has been asked for since it was opened; retries count as requests of their own too. */
export interface S3Counters {
  puts: number
  gets: number
  lists: number
  heads: number
  deletes: number
  /** Requests sent again. */
  retries: number
  /** Bytes of objects received and sent. */
  bytesIn: number
  bytesOut: number
}

export function newS3Counters(): S3Counters {
  return { puts: 0, gets: 0, lists: 0, heads: 0, deletes: 0, retries: 0, bytesIn: 0, bytesOut: 0 }
}
