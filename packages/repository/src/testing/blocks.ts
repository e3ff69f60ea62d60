import { createHash } from 'node:crypto'

/** A block for tests, the same for the same seed: `random` does not compress, `text` does. */
export function blockOf(length: number, seed: number, kind: 'random' | 'text'): Buffer {
  const block = Buffer.alloc(length)
  for (let at = 0, part = 0; at < length; at += 32, part++) {
    // In text every digest comes many times.
    const digest = createHash('sha256')
      .update(`${seed}:${kind === 'random' ? part : part % 16}`)
      .digest()
    digest.copy(block, at)
  }
  return block
}
