import { isDeepStrictEqual } from 'node:util'
import { type Answer, type Call, type Model, step } from './run-model.ts'

export interface Made {
  readonly call: Call
  readonly answer: Answer
  /** Of the run or attempt that this call made, or would have. */
  readonly newId: string
}

/**
 * Calls that were under way at the same time: is there an order, one after the other, in which the model gives each the answer it got and ends in the
 * state that the rows show? A call whose answer was lost may stand anywhere, or not have been done at all.
 *
 * @returns that state, or null
 */
export function explain(before: Model, batch: readonly Made[], after: Model): Model | null {
  const seen = withoutImageIds(after)
  const search = (model: Model, left: readonly Made[]): boolean => {
    if (left.length === 0) return isDeepStrictEqual(withoutImageIds(model), seen)
    // Calls that were lost may also not have been done; they are dropped at the end.
    if (left.every(({ answer }) => answer === 'unknown') && isDeepStrictEqual(withoutImageIds(model), seen)) return true
    return left.some((made, i) =>
      step(model, made.call, made.newId).some(
        ([answer, next]) => (made.answer === 'unknown' || answer === made.answer) && search(next, left.toSpliced(i, 1)),
      ),
    )
  }
  return search(before, batch) ? after : null
}

/** The catalog gives images their ids; within a batch they are not known. */
function withoutImageIds(m: Model): Model {
  const runs = Object.entries(m.runs).map(([id, run]) => {
    const images = Object.entries(run.images).map(([disk, image]) => [disk, { ...image, id: null }] as const)
    return [id, { ...run, images: Object.fromEntries(images) }] as const
  })
  return { ...m, runs: Object.fromEntries(runs) }
}
