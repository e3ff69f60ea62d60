/** A page of a map in memory. Always equal to what its store holds (write-through), so it can be dropped at any time. */
export interface CachedPage {
  readonly index: number
  readonly words: Uint16Array
  /** Used since the cache last looked: gets a second chance. */
  used: boolean
}

interface Slot {
  readonly page: CachedPage
  readonly owner: Map<number, CachedPage>
}

/**
 * One bound on the pages of many maps. Second-chance order: a page used since the last round stays one round more.
 * A page takes 2 KiB, so 8192 pages are 16 MiB.
 */
export class PageCache {
  readonly #capacity: number
  readonly #ring: Slot[] = []
  #hand = 0

  constructor(capacity = 8192) {
    this.#capacity = Math.max(1, capacity)
  }

  /** Pages held now; at most the capacity (pages whose owner let go of them still count until the hand passes). */
  get size(): number {
    return this.#ring.length
  }

  add(page: CachedPage, owner: Map<number, CachedPage>): void {
    owner.set(page.index, page)
    const slot: Slot = { page, owner }
    if (this.#ring.length < this.#capacity) {
      this.#ring.push(slot)
      return
    }
    for (;;) {
      const victim = this.#ring[this.#hand]!
      const owned = victim.owner.get(victim.page.index) === victim.page
      if (owned && victim.page.used) {
        victim.page.used = false
        this.#hand = (this.#hand + 1) % this.#capacity
        continue
      }
      if (owned) victim.owner.delete(victim.page.index)
      this.#ring[this.#hand] = slot
      this.#hand = (this.#hand + 1) % this.#capacity
      return
    }
  }
}
