import type { CbtStore } from './cbt-store.ts'
import { DatastoreError } from './errors.ts'
import type { MapFile } from './map-file.ts'
import { Mutex } from './mutex.ts'

/** The changed block tracking of one live disk: the bitmap of the running interval, and the CBT file with those before it. */
export class Tracker {
  /** Bits of the writes since the last snapshot. */
  bitmap: MapFile
  /** Bits of the interval before it, until the CBT file has absorbed them. */
  folding: MapFile | undefined
  /** Absent only while CBT is being enabled. */
  cbt: CbtStore | undefined
  /** One fold, answer or replacement of the CBT file at a time. */
  readonly busy = new Mutex()
  readonly #onExpired: (tracker: Tracker, cause: unknown) => void
  #expired = false

  constructor(bitmap: MapFile, cbt: CbtStore | undefined, onExpired: (tracker: Tracker, cause: unknown) => void) {
    this.bitmap = bitmap
    this.cbt = cbt
    this.#onExpired = onExpired
  }

  get expired(): boolean {
    return this.#expired
  }

  /**
   * Set the bits of granules `from <= index < to`, in memory and in the file. Costs a look at memory when they are set.
   *
   * A guest must go on when its bitmap can't: damage expires the tracking (noted in the CBT file, which needs no space).
   * Only a full file system is the guest's to see, since it can be retried.
   */
  mark(from: number, to: number): void {
    if (this.#expired) return
    try {
      if (!this.bitmap.map.all(from, to, 1)) this.bitmap.map.fill(from, to, 1)
    } catch (error) {
      if (error instanceof DatastoreError) throw error
      this.expire(error)
    }
  }

  /** The answers of this tracking are of no use any more, from now on and after a restart. */
  expire(cause: unknown): void {
    if (this.#expired) return
    this.cbt?.expire()
    this.#expired = true
    this.#onExpired(this, cause)
  }

  async sync(): Promise<void> {
    await this.bitmap.sync()
  }

  close(): void {
    this.bitmap.close()
    this.folding?.close()
    this.cbt?.close()
  }
}
