import { connectNbd, type NbdClient } from '@varve/nbd'
import type { DiskAddress } from '@varve/platform'

/** Disks that a lane keeps open: ranges of a few disks of one VM come in turn. */
const MOST_OPEN = 4
/** A disk that no range asked for since is closed: platforms limit how many are open. */
const IDLE_MS = 5000

interface OpenSource {
  readonly client: NbdClient
  idle: NodeJS.Timeout | undefined
}

/** The NBD connections of one lane, kept open from range to range. */
export class OpenSources {
  readonly #open = new Map<string, OpenSource>()

  /** Use a disk. After a failure its connection is not used again, because nobody knows what state it is in. */
  async use<T>(address: DiskAddress, signal: AbortSignal, work: (source: NbdClient) => Promise<T>): Promise<T> {
    const key = JSON.stringify(address)
    const source = this.#take(key) ?? { client: await connectNbd(address, { signal }), idle: undefined }
    const abort = (): void => void source.client.close().catch(() => {})
    signal.addEventListener('abort', abort, { once: true })
    try {
      const result = await work(source.client)
      await this.#keep(key, source)
      return result
    } catch (error) {
      await source.client.close().catch(() => {})
      throw error
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.keys()].map(key => this.#close(key)))
  }

  #take(key: string): OpenSource | undefined {
    const source = this.#open.get(key)
    clearTimeout(source?.idle)
    this.#open.delete(key)
    return source
  }

  async #keep(key: string, source: OpenSource): Promise<void> {
    source.idle = setTimeout(() => void this.#close(key), IDLE_MS)
    this.#open.set(key, source)
    const [oldest] = this.#open.keys()
    if (this.#open.size > MOST_OPEN && oldest !== undefined) await this.#close(oldest)
  }

  async #close(key: string): Promise<void> {
    await this.#take(key)
      ?.client.close()
      .catch(() => {})
  }
}
