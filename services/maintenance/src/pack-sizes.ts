/** Words of an entry: 16 bytes of id, then the size + 1 in two words; 0: the place is free. */
const WORDS = 6
const FIRST_PLACES = 1024
const MOST_FULL = 0.7
const WORD = 2 ** 32

/**
 * Sizes by pack id, for millions of them: a hash table in one array, 24 bytes a place, 35 to 70 a pack. Ids are random, so their first word is their hash.
 */
export class PackSizes {
  #table = new Uint32Array(FIRST_PLACES * WORDS)
  #count = 0

  get count(): number {
    return this.#count
  }

  /** @param id 32 hex digits */
  set(id: string, size: number): void {
    if (this.#count + 1 > (this.#table.length / WORDS) * MOST_FULL) this.#grow()
    const words = wordsOf(id)
    const at = this.#placeOf(words)
    if (this.#isFree(at)) this.#count += 1
    this.#table.set([...words, Math.floor((size + 1) / WORD), (size + 1) % WORD], at)
  }

  get(id: string): number | undefined {
    const at = this.#placeOf(wordsOf(id))
    return this.#isFree(at) ? undefined : this.#table[at + 4]! * WORD + this.#table[at + 5]! - 1
  }

  #isFree(at: number): boolean {
    return this.#table[at + 4] === 0 && this.#table[at + 5] === 0
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
    for (let at = 0; at < old.length; at += WORDS) {
      const entry = old.subarray(at, at + WORDS)
      if (entry[4] === 0 && entry[5] === 0) continue
      this.#table.set(entry, this.#placeOf([entry[0]!, entry[1]!, entry[2]!, entry[3]!]))
    }
  }
}

type Words = readonly [number, number, number, number]

function wordsOf(id: string): Words {
  const word = (at: number): number => Number.parseInt(id.slice(at, at + 8), 16)
  return [word(0), word(8), word(16), word(24)]
}
