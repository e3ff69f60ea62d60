/**
 * What one export of the NBD server reads and writes. All offsets and lengths are bytes and were checked against `size`. Calls overlap.
 * `target` and `bytes` belong to the call: once its promise settles the server uses them again.
 */
export interface NbdBackend {
  readonly size: number
  readonly readOnly: boolean
  /** Preferred and minimum request sizes that the server announces; minimum 1 allows any offset. */
  readonly blockSize: { readonly minimum: number; readonly preferred: number }
  /** Fill `target` from `offset`. */
  read(offset: number, target: Uint8Array): Promise<void>
  /** Once resolved the bytes are accepted; durable when `fua` or after `flush`. */
  write(offset: number, bytes: Uint8Array, fua: boolean): Promise<void>
  /** Everything acknowledged before is durable. */
  flush(): Promise<void>
  /** The range reads as zeros afterwards (we promise more than NBD asks). */
  trim(offset: number, length: number, fua: boolean): Promise<void>
  writeZeroes(offset: number, length: number, fua: boolean, mayTrim: boolean): Promise<void>
  /** Consecutive extents from `offset`, together at most `length` (at least one): `hole` = not allocated, `zero` = reads as zeros. */
  blockStatus(
    offset: number,
    length: number,
  ): Promise<readonly { readonly length: number; readonly hole: boolean; readonly zero: boolean }[]>
  /** The last connection has gone. */
  close(): Promise<void>
}

/** Thrown by a backend to answer with this NBD error; anything else becomes EIO. */
export type NbdErrorName = 'EPERM' | 'EIO' | 'ENOMEM' | 'EINVAL' | 'ENOSPC' | 'EOVERFLOW' | 'ENOTSUP' | 'ESHUTDOWN'
