import type { Page, PageRef, Root } from '@varve/block-map'
import { hasCode } from '@varve/errors'
import type { Repository } from '@varve/repository'

/** Pages that are read together: neighbours in one get. About 45 KB each in memory. */
const PAGES_AT_ONCE = 64

/** The references of a root that the root of the point before does not have just so: the others were followed with it. Both ascend by page. */
export function newRefs(root: Root, before: Root | undefined): readonly PageRef[] {
  if (before === undefined) return root.pages
  const fresh: PageRef[] = []
  let at = 0
  for (const ref of root.pages) {
    while (at < before.pages.length && before.pages[at]!.pageIndex < ref.pageIndex) at += 1
    const old = before.pages[at]
    if (old === undefined || !isSame(old, ref)) fresh.push(ref)
  }
  return fresh
}

function isSame(a: PageRef, b: PageRef): boolean {
  return (
    a.pageIndex === b.pageIndex &&
    a.mapId === b.mapId &&
    a.offset === b.offset &&
    a.length === b.length &&
    Buffer.compare(a.hash, b.hash) === 0
  )
}

export type PageAnswer =
  | { readonly ref: PageRef; readonly page: Page }
  | { readonly ref: PageRef; readonly error: Error & { code: string } }

/** Pages of references, a bounded number in memory; one that is missing or damaged is told and the others go on. What the store throws is thrown. */
export async function* pagesOf(refs: readonly PageRef[], repository: Repository, signal: AbortSignal): AsyncGenerator<PageAnswer> {
  for (let from = 0; from < refs.length; from += PAGES_AT_ONCE) {
    signal.throwIfAborted()
    yield* readTogether(refs.slice(from, from + PAGES_AT_ONCE), repository, signal)
  }
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
