import { NbdError } from '../errors.ts'
import type { NbdBackend } from './backend.ts'
import type { ExportResolver, NbdPeer } from './export-resolver.ts'

interface OpenExport {
  readonly backend: Promise<NbdBackend>
  users: number
  /** Set with the last release: the next open waits for it. */
  closing: Promise<void> | undefined
}

/** Exports that are open, with the number of connections on each: opened with the first, closed with the last. */
export class ExportTable {
  readonly #resolver: ExportResolver
  readonly #maxUsers: number
  readonly #exports = new Map<string, OpenExport>()

  constructor(resolver: ExportResolver, maxUsers: number) {
    this.#resolver = resolver
    this.#maxUsers = maxUsers
  }

  /** Each success must be followed by one `release`. Throws what the resolver throws, or NBD_REFUSED at the bound. */
  async acquire(name: string, peer: NbdPeer): Promise<NbdBackend> {
    for (;;) {
      const closing = this.#exports.get(name)?.closing
      if (closing === undefined) break
      await closing
    }
    let open = this.#exports.get(name)
    if (open === undefined) {
      open = { backend: this.#resolver.open(name, peer), users: 0, closing: undefined }
      this.#exports.set(name, open)
    } else if (open.users >= this.#maxUsers) {
      throw new NbdError('NBD_REFUSED', `too many connections to this export (${this.#maxUsers})`)
    }
    open.users++
    try {
      return await open.backend
    } catch (error) {
      if (this.#exports.get(name) === open) this.#exports.delete(name)
      throw error
    }
  }

  async release(name: string): Promise<void> {
    const open = this.#exports.get(name)
    if (open === undefined) return
    open.users--
    if (open.users > 0) return
    open.closing = open.backend.then(backend => backend.close()).finally(() => this.#exports.delete(name))
    // Whoever waits to open it again only needs it gone.
    const closing = open.closing
    open.closing = closing.catch(() => undefined)
    await closing
  }
}
