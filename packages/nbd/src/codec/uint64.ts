import { protocolError } from '../errors.ts'

const HIGH = 2 ** 32

/** A 64-bit field as an exact number. Throws NBD_PROTOCOL above 2^53 - 1 (8 PiB). */
export function readUint64(bytes: Uint8Array, at: number, field: string): number {
  const value = readUint32(bytes, at) * HIGH + readUint32(bytes, at + 4)
  if (!Number.isSafeInteger(value)) throw protocolError(`${field} is above 8 PiB`, { field })
  return value
}

/** Two halves without bigint: this runs for every request. */
export function writeUint64(bytes: Uint8Array, at: number, value: number): void {
  writeUint32(bytes, at, Math.floor(value / HIGH))
  writeUint32(bytes, at + 4, value % HIGH)
}

export function readUint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}

export function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

export function readUint16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!
}

export function writeUint16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}
