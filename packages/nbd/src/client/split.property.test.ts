import fc from 'fast-check'
import { expect, test } from 'vitest'
import { split, widen } from './split.ts'

test('split covers the range once, in order, in parts within the maximum', () => {
  fc.assert(
    fc.property(fc.nat(40), fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 12 }), (offset, length, maximum) => {
      let at = offset
      for (const part of split({ offset, length }, maximum)) {
        expect(part.offset).toBe(at)
        expect(part.length).toBeGreaterThan(0)
        expect(part.length).toBeLessThanOrEqual(maximum)
        at += part.length
      }
      expect(at).toBe(offset + length)
    }),
  )
})

test('widen is the smallest aligned range around it, within the export', () => {
  fc.assert(
    fc.property(fc.nat(60), fc.integer({ min: 1, max: 20 }), fc.constantFrom(1, 2, 4, 8), (offset, length, minimum) => {
      const size = 64
      fc.pre(offset + length <= size)
      const wide = widen({ offset, length }, minimum, size)
      const end = wide.offset + wide.length
      expect(wide.offset % minimum).toBe(0)
      expect(end % minimum === 0 || end === size).toBe(true)
      expect(wide.offset).toBeLessThanOrEqual(offset)
      expect(wide.offset).toBeGreaterThan(offset - minimum)
      expect(end).toBeGreaterThanOrEqual(offset + length)
      expect(end).toBeLessThan(offset + length + minimum)
    }),
  )
})
