import type { Extent } from '@varve/cbt'

export interface DiskGeometry {
  readonly diskSize: number
  readonly blockSize: number
}

/** Cut a run of blocks into spans of at most `spanBytes`, whole blocks each. */
export function* cutIntoSpans({ offset, length }: Extent, blockSize: number, spanBytes: number): Generator<Extent> {
  const step = Math.max(blockSize, spanBytes - (spanBytes % blockSize))
  for (let at = 0; at < length; at += step) yield { offset: offset + at, length: Math.min(step, length - at) }
}
