import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Extent, mergeExtents, totalLength } from './extent.ts'

// Tiny, so that neighbours touch often.
const DISK = 16
const extent = fc.tuple(fc.nat(DISK - 1), fc.nat(4)).map(([offset, n]): Extent => ({ offset, length: Math.min(n, DISK - offset) }))

function paint(extents: Iterable<Extent>): boolean[] {
  const bytes = new Array<boolean>(DISK).fill(false)
  for (const { offset, length } of extents) bytes.fill(true, offset, offset + length)
  return bytes
}

test('mergeExtents covers exactly the bytes of its input, with a gap between any two neighbours', () => {
  fc.assert(
    fc.property(fc.array(extent), extents => {
      const merged = mergeExtents(extents)
      expect(paint(merged)).toEqual(paint(extents))
      expect(totalLength(merged)).toBe(paint(extents).filter(Boolean).length)
      for (let i = 1; i < merged.length; i++) {
        expect(merged[i]!.offset).toBeGreaterThan(merged[i - 1]!.offset + merged[i - 1]!.length)
      }
    }),
  )
})
