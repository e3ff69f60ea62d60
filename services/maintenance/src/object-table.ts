/** Words of an entry: 16 bytes of id, then the size + 1 in two words. */
const WORDS = 6
const FREE = 0
/** In the first word of the size, which no size reaches. */
const FORGOTTEN = 2 ** 32 - 1
const FIRST_PLACES = 1024
const MOST_FULL = 0.7
const WORD = 2 ** 32

type Words = readonly [number, number, number, number]

/**
 * Sizes of packs or maps by id, for millions of them: a hash table in one array, 24 bytes a place, 35 to 70 an object. An id begins with 12 random bytes, those
 * of the try that wrote it, so its first word is its hash, and what one try wrote stands together.
 */
export class ObjectTable {
  #table = new Uint32Array(FIRST_PLACES * WORDS)
  #taken = 0
  #count = 0

  get count(): number {
    return this.#count
  }

  /** @param id 32 hex digits */
  set(id: string, size: number): void {
    if (this.#taken + 1 > (this.#table.length / WORDS) * MOST_FULL) this.#grow()
    const words = wordsOf(id)
    const at = this.#placeOf(words)
    if (this.#isFree(at)) this.#taken += 1
    if (!this.#isThere(at)) this.#count += 1
    this.#table.set([...words, Math.floor((size + 1) / WORD), (size + 1) % WORD], at)
  }

  get(id: string): number | undefined {
    const at = this.#placeOf(wordsOf(id))
    return this.#isThere(at) ? this.#sizeAt(at) : undefined
  }

  forget(id: string): void {
    this.#forgetAt(this.#placeOf(wordsOf(id)))
  }

  /** All whose id begins so. @returns their ids and sizes */
  forgetOf(first: number, second: number, third: number): { readonly id: string; readonly size: number }[] {
    const table = this.#table
    const places = table.length / WORDS
    const found: { id: string; size: number }[] = []
    for (let place = first % places; ; place = (place + 1) % places) {
      const at = place * WORDS
      if (this.#isFree(at)) return found
      if (table[at] !== first || table[at + 1] !== second || table[at + 2] !== third || !this.#isThere(at)) continue
      found.push({ id: this.#idAt(at), size: this.#sizeAt(at) })
      this.#forgetAt(at)
    }
  }

  *entries(): Generator<{ readonly id: string; readonly size: number }> {
    for (let at = 0; at < this.#table.length; at += WORDS) if (this.#isThere(at)) yield { id: this.#idAt(at), size: this.#sizeAt(at) }
  }

  #isFree(at: number): boolean {
    return this.#table[at + 4] === FREE && this.#table[at + 5] === FREE
  }

  #isThere(at: number): boolean {
    return !this.#isFree(at) && this.#table[at + 4] !== FORGOTTEN
  }

  #forgetAt(at: number): void {
    if (!this.#isThere(at)) return
    this.#table[at + 4] = FORGOTTEN
    this.#count -= 1
  }

  #sizeAt(at: number): number {
    return this.#table[at + 4]! * WORD + this.#table[at + 5]! - 1
  }

  #idAt(at: number): string {
    return [...this.#table.subarray(at, at + 4)].map(word => word.toString(16).padStart(8, '0')).join('')
  }

  /** Where it is, or would be. */
  #placeOf([a, b, c, d]: Words): number {
    const table = this.#table
    const places = table.length / WORDS
    for (let place = a % places; ; place = (place + 1) % places) {
      const at = place * WORDS
      if (this.#isFree(at) || (table[at] === a && table[at + 1] === b && table[at + 2] === c && table[at + 3] === d)) return at
    }
  }

  #grow(): void {
    const old = this.#table
    this.#table = new Uint32Array(old.length * 2)
    this.#taken = 0
    for (let at = 0; at < old.length; at += WORDS) {
      const entry = old.subarray(at, at + WORDS)
      if ((entry[4] === FREE && entry[5] === FREE) || entry[4] === FORGOTTEN) continue
      this.#table.set(entry, this.#placeOf([entry[0]!, entry[1]!, entry[2]!, entry[3]!]))
      this.#taken += 1
    }
  }
}

function wordsOf(id: string): Words {
  const word = (at: number): number => Number.parseInt(id.slice(at, at + 8), 16)
  return [word(0), word(8), word(16), word(24)]
}
