import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PackSizes } from './pack-sizes.ts'

test('holds what a map holds, whatever the ids', () => {
  // Few first words: ids meet in their places.
  const id = fc.tuple(fc.constantFrom('00000000', '00000001', 'ffffffff'), fc.stringMatching(/^[0-9a-f]{24}$/)).map(parts => parts.join(''))
  fc.assert(
    fc.property(fc.array(fc.tuple(id, fc.nat({ max: Number.MAX_SAFE_INTEGER - 1 }))), fc.array(id), (entries, others) => {
      const sizes = new PackSizes()
      const model = new Map<string, number>()
      for (const [key, size] of entries) {
        sizes.set(key, size)
        model.set(key, size)
      }
      expect(sizes.count).toBe(model.size)
      for (const key of [...model.keys(), ...others]) expect(sizes.get(key)).toBe(model.get(key))
    }),
  )
})

test('grows past what it began with', () => {
  const sizes = new PackSizes()
  const id = (i: number): string => ((i * 2_654_435_761) >>> 0).toString(16).padStart(8, '0') + i.toString(16).padStart(24, '0')
  for (let i = 0; i < 20_000; i++) sizes.set(id(i), i * 1_000_000)
  for (let i = 0; i < 20_000; i++) if (sizes.get(id(i)) !== i * 1_000_000) throw new Error(`pack ${i}`)
  expect(sizes.count).toBe(20_000)
  expect(sizes.get(id(20_001))).toBeUndefined()
})
