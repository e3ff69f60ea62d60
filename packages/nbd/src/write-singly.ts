import type { TLSSocket } from 'node:tls'

/**
 * Let a TLS socket encrypt each write from the buffer it came in. Writes that are corked, or that wait for one before them, are copied into one new buffer
 * first, all together: with requests of 2 MiB 0.13 s of CPU for each GiB sent (0.86 instead of 0.73), and as many MiB as wait. A header by itself costs one
 * record more.
 */
export function writeSingly(socket: TLSSocket): void {
  // What a Writable without `writev` looks like.
  Object.assign(socket, { _writev: null })
}
