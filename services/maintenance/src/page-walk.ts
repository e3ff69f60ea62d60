import { type Page, type PageRef, PageRefs, type Root } from '@varve/block-map'
import { hasCode } from '@varve/errors'
import type { Repository } from '@varve/repository'

/** Pages that are read together: neighbours in one get. About 45 KB each in memory. */
const PAGES_AT_ONCE = 64

/** The references of a root that the root of the point before does not have just so: the others were followed with it. Both ascend by page. */
export function* newRefs({ pages }: Root, before: Root | undefined): Generator<PageRef, undefined> {
  const old = before?.pages ?? PageRefs.none
  let at = 0
  for (let i = 0; i < pages.length; i++) {
    while (at < old.length && old.pageIndexAt(at) < pages.pageIndexAt(i)) at += 1
    if (at === old.length || !pages.isSame(i, old, at)) yield pages.at(i)!
  }
  return undefined
}

export type PageAnswer =
  | { readonly ref: PageRef; readonly page: Page }
  | { readonly ref: PageRef; readonly error: Error & { code: string } }

/** Pages of references, a bounded number in memory; one that is missing or damaged is told and the others go on. What the store throws is thrown. */
export async function* pagesOf(refs: Iterable<PageRef>, repository: Repository, signal: AbortSignal): AsyncGenerator<PageAnswer> {
  const together: PageRef[] = []
  for (const ref of refs) {
    if (together.push(ref) < PAGES_AT_ONCE) continue
    signal.throwIfAborted()
    yield* readTogether(together.splice(0), repository, signal)
  }
  signal.throwIfAborted()
  if (together.length > 0) yield* readTogether(together, repository, signal)
}

/** All at once; when one of them cannot be had, halves, until it is found. */
async function* readTogether(refs: readonly PageRef[], repository: Repository, signal: AbortSignal): AsyncGenerator<PageAnswer> {
  try {
    const pages = await repository.getPages(refs, { signal })
    for (const [i, page] of pages.entries()) yield { ref: refs[i]!, page }
  } catch (error) {
    if (!hasCode(error, 'MAP_MISSING', 'MAP_DAMAGED')) throw error
    if (refs.length === 1) {
      yield { ref: refs[0]!, error }
      return
    }
    const half = refs.length >> 1
    yield* readTogether(refs.slice(0, half), repository, signal)
    yield* readTogether(refs.slice(half), repository, signal)
  }
}

/** Packs that a page names, with the end of its last block in each. */
export function eachPack(page: Page): Map<string, number> {
  const ends = new Map<string, number>()
  for (let i = 0; i < page.blockCount; i++) {
    const entry = page.entry(i)
    if (entry === undefined) continue
    const end = entry.offset + entry.storedLength
    if (end > (ends.get(entry.packId) ?? 0)) ends.set(entry.packId, end)
  }
  return ends
}
