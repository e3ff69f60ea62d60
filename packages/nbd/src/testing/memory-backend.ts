import { requestFailed } from '../errors.ts'
import type { NbdBackend } from '../server/backend.ts'

export interface MemoryBackendOptions {
  readonly readOnly?: boolean
  readonly blockSize?: { readonly minimum: number; readonly preferred: number }
  /** Unit of allocation in bytes (default 4096): what was never written, or was trimmed whole, is a hole. */
  readonly granule?: number
}

/** A disk in memory with holes, for tests. Counts what it is asked. */
export class MemoryBackend implements NbdBackend {
  readonly size: number
  readonly readOnly: boolean
  readonly blockSize: { readonly minimum: number; readonly preferred: number }
  readonly bytes: Uint8Array
  readonly calls = { read: 0, write: 0, flush: 0, trim: 0, writeZeroes: 0, blockStatus: 0, close: 0, fua: 0 }
  /** Set to make every call of this kind fail until it is removed. */
  readonly failures = new Map<'read' | 'write' | 'flush' | 'trim' | 'writeZeroes' | 'blockStatus', Error>()
  readonly #granule: number
  readonly #allocated: Uint8Array

  constructor(content: number | Uint8Array, options: MemoryBackendOptions = {}) {
    this.bytes = typeof content === 'number' ? new Uint8Array(content) : content
    this.size = this.bytes.length
    this.readOnly = options.readOnly ?? false
    this.blockSize = options.blockSize ?? { minimum: 1, preferred: 65_536 }
    this.#granule = options.granule ?? 4096
    this.#allocated = new Uint8Array(Math.ceil(this.size / this.#granule)).fill(typeof content === 'number' ? 0 : 1)
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    this.#count('read', offset, target.length)
    target.set(this.bytes.subarray(offset, offset + target.length))
  }

  async write(offset: number, bytes: Uint8Array, fua: boolean): Promise<void> {
    this.#count('write', offset, bytes.length)
    if (fua) this.calls.fua++
    this.bytes.set(bytes, offset)
    this.#allocated.fill(1, Math.floor(offset / this.#granule), Math.ceil((offset + bytes.length) / this.#granule))
  }

  async flush(): Promise<void> {
    this.#count('flush', 0, 0)
  }

  async trim(offset: number, length: number, fua: boolean): Promise<void> {
    this.#count('trim', offset, length)
    if (fua) this.calls.fua++
    this.#zero(offset, length, true)
  }

  async writeZeroes(offset: number, length: number, fua: boolean, mayTrim: boolean): Promise<void> {
    this.#count('writeZeroes', offset, length)
    if (fua) this.calls.fua++
    this.#zero(offset, length, mayTrim)
  }

  async blockStatus(offset: number, length: number): Promise<{ length: number; hole: boolean; zero: boolean }[]> {
    this.#count('blockStatus', offset, length)
    const extents: { length: number; hole: boolean; zero: boolean }[] = []
    for (let at = offset; at < offset + length; ) {
      const index = Math.floor(at / this.#granule)
      const next = Math.min((index + 1) * this.#granule, offset + length)
      const hole = this.#allocated[index] === 0
      const last = extents.at(-1)
      if (last?.hole === hole) last.length += next - at
      else extents.push({ length: next - at, hole, zero: hole })
      at = next
    }
    return extents
  }

  async close(): Promise<void> {
    this.calls.close++
  }

  #zero(offset: number, length: number, mayTrim: boolean): void {
    this.bytes.fill(0, offset, offset + length)
    const end = offset + length
    const first = Math.ceil(offset / this.#granule)
    const last = end === this.size ? this.#allocated.length : Math.floor(end / this.#granule)
    if (mayTrim && first < last) this.#allocated.fill(0, first, last)
    if (!mayTrim) this.#allocated.fill(1, Math.floor(offset / this.#granule), Math.ceil(end / this.#granule))
  }

  #count(call: 'read' | 'write' | 'flush' | 'trim' | 'writeZeroes' | 'blockStatus', offset: number, length: number): void {
    this.calls[call]++
    const failure = this.failures.get(call)
    if (failure !== undefined) throw failure
    if (offset < 0 || offset + length > this.size) throw requestFailed('EINVAL', 'outside of the disk', { offset, length })
  }
}
