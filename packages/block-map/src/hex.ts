import { BlockMapError } from './errors.ts'

const ID = /^[0-9a-f]{32}$/

/** Write a 16-byte id given as 32 hex digits. @throws BlockMapError MAP_CORRUPT */
export function writeId(target: Buffer, id: string, offset: number): void {
  if (!ID.test(id)) throw new BlockMapError('MAP_CORRUPT', 'an object id must be 32 lower-case hex digits')
  target.write(id, offset, 16, 'hex')
}

/** Read a 16-byte id as 32 hex digits. */
export function readId(source: Buffer, offset: number): string {
  return source.toString('hex', offset, offset + 16)
}

/** The same memory as a Buffer, for its readers and writers. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
