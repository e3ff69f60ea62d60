import type { Extent } from '@varve/cbt'

export interface NbdAddress {
  /** Host and port, or a unix socket path. */
  readonly host?: string
  readonly port?: number
  readonly path?: string
  readonly exportName: string
  /**
   * Start TLS before anything else is said; a server without it is NBD_REFUSED. Part of the address, so that who passes one on can't forget it
   * and send in plain text what was to be protected.
   */
  readonly tls?: NbdClientTls
}

/** TLS of a client: version 1.2 or later; there is no way around the check of the certificate, and none back to plain text. */
export interface NbdClientTls {
  /** The authority that issued the server's certificate, PEM or DER; no other is trusted. */
  readonly ca: string | Uint8Array
  /** The host in the certificate, a DNS name or an IP address (default: the host of the address, `localhost` for a socket path). */
  readonly servername?: string
}

export interface NbdClientOptions {
  /** Connections to open where the server allows several (default 1). */
  readonly connections?: number
  /** Requests in flight over each connection (default 8). */
  readonly inFlight?: number
  /** No byte from the server for this long while a request is open: NBD_STALLED (default 30 000 ms). */
  readonly stallMs?: number
  /** Time limit of connecting and the handshake (default 10 000 ms). */
  readonly connectMs?: number
  readonly signal?: AbortSignal
}

/** A piece of a read: data, or a hole that reads as zeros (its bytes were not sent and `bytes` is undefined). */
export interface ReadPiece extends Extent {
  readonly bytes: Uint8Array | undefined
}

/**
 * One export, opened. Calls may overlap; at most `inFlight` requests a connection are on the wire. Errors are NbdErrors: NBD_UNREACHABLE,
 * NBD_CLOSED, NBD_STALLED (retryable: open again); NBD_EXPORT_UNKNOWN, NBD_REFUSED, NBD_TLS_UNTRUSTED (the handshake); NBD_PROTOCOL (the server broke the
 * protocol; the connection is dead); NBD_REQUEST_FAILED (`context.errno` is the NBD name; the connection lives).
 */
export interface NbdClient {
  readonly size: number
  readonly readOnly: boolean
  readonly minimumBlockSize: number
  readonly structuredReplies: boolean
  /** Does the server answer `base:allocation`? */
  readonly blockStatusAvailable: boolean
  /**
   * Read exactly `length` bytes (at most 32 MiB); with structured replies holes come back as pieces without bytes, ascending and gap-free.
   * With `into` (at least `length` bytes long) data is received there, at `piece.offset - offset`, and the pieces' bytes are views of it; what
   * holes cover keeps its old content. A buffer that is used again saves more than half of the processor time of a read.
   */
  read(offset: number, length: number, into?: Uint8Array): Promise<readonly ReadPiece[]>
  /** Read exactly into `target`, holes zero-filled; for callers who bring their own buffer. */
  readInto(offset: number, target: Uint8Array): Promise<void>
  write(offset: number, bytes: Uint8Array, options?: { readonly fua?: boolean }): Promise<void>
  writeZeroes(offset: number, length: number, options?: { readonly noHole?: boolean }): Promise<void>
  trim(offset: number, length: number): Promise<void>
  flush(): Promise<void>
  /** Extents of `base:allocation` from `offset`; at least one. */
  blockStatus(
    offset: number,
    length: number,
  ): Promise<readonly { readonly offset: number; readonly length: number; readonly hole: boolean; readonly zero: boolean }[]>
  /** Bytes received as data so far; holes do not count. */
  readonly bytesRead: number
  close(): Promise<void>
}
