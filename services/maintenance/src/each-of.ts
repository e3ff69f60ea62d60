/** So many at the same time; the first failure ends it, and is thrown once the others under way have ended. */
export async function eachOf<T>(items: AsyncIterable<T> | Iterable<T>, atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  const under = new Set<Promise<void>>()
  const failures: unknown[] = []
  for await (const item of items) {
    if (failures.length > 0) break
    const task: Promise<void> = work(item)
      .catch(error => void failures.push(error))
      .finally(() => under.delete(task))
    under.add(task)
    if (under.size >= atOnce) await Promise.race(under)
  }
  await Promise.all(under)
  if (failures.length > 0) throw failures[0]
}

/** Lists of at most so many. */
export async function* batches<T>(items: AsyncIterable<T> | Iterable<T>, size: number): AsyncGenerator<T[]> {
  let batch: T[] = []
  for await (const item of items) {
    batch.push(item)
    if (batch.length < size) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

/** Every item of a list that comes in pages. */
export async function* allOf<T>(page: (after: string | null) => Promise<{ items: readonly T[]; next: string | null }>): AsyncGenerator<T> {
  for (let after: string | null = null; ; ) {
    const { items, next }: { items: readonly T[]; next: string | null } = await page(after)
    yield* items
    if (next === null) return
    after = next
  }
}
