import { PAGE_BLOCKS } from './geometry.ts'

/** Bytes of the columns of a page for each of its blocks. */
export const COLUMN_BYTES = 44
/** Pages that share a piece of memory: 1.4 MiB, which goes back to the system as a whole. */
const CHUNK_PAGES = 32
const PAGE_MEMORY = PAGE_BLOCKS * COLUMN_BYTES

/**
 * Memory for pages that all come to their end together, used again for those of the next job. Without it the pages of each job wait for a collector that
 * sees no hurry, and leave holes behind.
 */
export class PageArena {
  readonly #chunks: ArrayBuffer[] = []
  #taken = 0

  /** The pages in it are used no more. */
  reset(): void {
    this.#taken = 0
  }

  /** Memory of one page from `offset` on, which holds anything. */
  take(): { readonly buffer: ArrayBuffer; readonly offset: number } {
    const chunk = Math.floor(this.#taken / CHUNK_PAGES)
    const offset = (this.#taken++ % CHUNK_PAGES) * PAGE_MEMORY
    this.#chunks[chunk] ??= new ArrayBuffer(CHUNK_PAGES * PAGE_MEMORY)
    return { buffer: this.#chunks[chunk], offset }
  }
}
