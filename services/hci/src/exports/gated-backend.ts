import { type NbdBackend, requestFailed } from '@varve/nbd'

/**
 * The backend, as long as `open` says so; after that every request is answered ESHUTDOWN. Connections are closed as well when access ends;
 * this covers the one whose handshake was under way.
 */
export function gated(backend: NbdBackend, open: () => boolean): NbdBackend {
  const check = (): void => {
    if (!open()) throw requestFailed('ESHUTDOWN', 'access to this disk has ended')
  }
  return {
    size: backend.size,
    readOnly: backend.readOnly,
    blockSize: backend.blockSize,
    async read(offset, target) {
      check()
      await backend.read(offset, target)
    },
    async write(offset, bytes, fua) {
      check()
      await backend.write(offset, bytes, fua)
    },
    async flush() {
      check()
      await backend.flush()
    },
    async trim(offset, length, fua) {
      check()
      await backend.trim(offset, length, fua)
    },
    async writeZeroes(offset, length, fua, mayTrim) {
      check()
      await backend.writeZeroes(offset, length, fua, mayTrim)
    },
    async blockStatus(offset, length) {
      check()
      return await backend.blockStatus(offset, length)
    },
    close: () => backend.close(),
  }
}
