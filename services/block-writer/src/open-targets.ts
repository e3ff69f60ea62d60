import { connectNbd, type NbdClient } from '@varve/nbd'
import type { DiskAddress } from '@varve/platform'

/** Disks that a lane keeps open: ranges of a few disks of one VM come in turn. */
const MOST_OPEN = 4
/** A disk that no range asked for since is closed: platforms limit how many are open. */
const IDLE_MS = 5000

interface OpenTarget {
  readonly client: NbdClient
  idle: NodeJS.Timeout | undefined
}

/** The NBD connections of one lane, kept open from range to range. */
export class OpenTargets {
  readonly #open = new Map<string, OpenTarget>()

  /** Use a disk. After a failure its connection is not used again, because nobody knows what state it is in. */
  async use<T>(address: DiskAddress, signal: AbortSignal, work: (target: NbdClient) => Promise<T>): Promise<T> {
    const key = JSON.stringify(address)
    const target = this.#take(key) ?? { client: await connectNbd(address, { signal }), idle: undefined }
    const abort = (): void => void target.client.close().catch(() => {})
    signal.addEventListener('abort', abort, { once: true })
    try {
      const result = await work(target.client)
      await this.#keep(key, target)
      return result
    } catch (error) {
      await target.client.close().catch(() => {})
      throw error
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.keys()].map(key => this.#close(key)))
  }

  #take(key: string): OpenTarget | undefined {
    const target = this.#open.get(key)
    clearTimeout(target?.idle)
    this.#open.delete(key)
    return target
  }

  async #keep(key: string, target: OpenTarget): Promise<void> {
    target.idle = setTimeout(() => void this.#close(key), IDLE_MS)
    this.#open.set(key, target)
    const [oldest] = this.#open.keys()
    if (this.#open.size > MOST_OPEN && oldest !== undefined) await this.#close(oldest)
  }

  async #close(key: string): Promise<void> {
    await this.#take(key)
      ?.client.close()
      .catch(() => {})
  }
}
