import { connectNbd, type NbdClient } from '@varve/nbd'
import type { DiskAddress } from '@varve/platform'
import { Throttle } from './throttle.ts'

/** Disks that a lane keeps open: ranges of a few disks of one VM come in turn. */
const MOST_OPEN = 4
/** A disk that no range asked for since is closed: platforms limit how many are open. */
const IDLE_MS = 5000

interface OpenExport {
  readonly client: NbdClient
  readonly throttle: Throttle
  idle: NodeJS.Timeout | undefined
}

/** The NBD connections of one lane, kept open from range to range, one for each address (its TLS trust is part of it). */
export class OpenExports {
  readonly #open = new Map<string, OpenExport>()

  /** Use a disk. After a failure its connection is not used again, because nobody knows what state it is in. */
  async use<T>(address: DiskAddress, signal: AbortSignal, work: (disk: NbdClient, throttle: Throttle) => Promise<T>): Promise<T> {
    const key = JSON.stringify(address)
    const disk = this.#take(key) ?? { client: await connectNbd(address, { signal }), throttle: new Throttle(), idle: undefined }
    const abort = (): void => void disk.client.close().catch(() => {})
    signal.addEventListener('abort', abort, { once: true })
    try {
      const result = await work(disk.client, disk.throttle)
      await this.#keep(key, disk)
      return result
    } catch (error) {
      await disk.client.close().catch(() => {})
      throw error
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.keys()].map(key => this.#close(key)))
  }

  #take(key: string): OpenExport | undefined {
    const disk = this.#open.get(key)
    clearTimeout(disk?.idle)
    this.#open.delete(key)
    return disk
  }

  async #keep(key: string, disk: OpenExport): Promise<void> {
    disk.idle = setTimeout(() => void this.#close(key), IDLE_MS)
    this.#open.set(key, disk)
    const [oldest] = this.#open.keys()
    if (this.#open.size > MOST_OPEN && oldest !== undefined) await this.#close(oldest)
  }

  async #close(key: string): Promise<void> {
    await this.#take(key)
      ?.client.close()
      .catch(() => {})
  }
}
