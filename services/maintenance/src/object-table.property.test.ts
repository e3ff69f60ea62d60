import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ObjectTable } from './object-table.ts'

// Few words: ids meet in their places, and share their beginnings.
const word = fc.constantFrom('00000000', '00000001', 'ffffffff', '000003ff')
const id = fc.tuple(word, word, word, word).map(words => words.join(''))
const size = fc.nat({ max: Number.MAX_SAFE_INTEGER - 1 })
const step = fc.oneof(
  fc.record({ set: id, size }),
  fc.record({ forget: id }),
  fc.record({ forgetOf: fc.tuple(word, word, word).map(words => words.join('')) }),
)

test('holds what a map holds, whatever the ids', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.array(id), (steps, others) => {
      const table = new ObjectTable()
      const model = new Map<string, number>()
      for (const one of steps) {
        if ('set' in one) {
          table.set(one.set, one.size)
          model.set(one.set, one.size)
        } else if ('forget' in one) {
          table.forget(one.forget)
          model.delete(one.forget)
        } else {
          const begin = one.forgetOf
          const words = [0, 8, 16].map(at => Number.parseInt(begin.slice(at, at + 8), 16)) as [number, number, number]
          const expected = [...model.keys()].filter(key => key.startsWith(begin)).sort()
          expect(
            table
              .forgetOf(...words)
              .map(entry => entry.id)
              .sort(),
          ).toEqual(expected)
          for (const key of expected) model.delete(key)
        }
      }
      expect(table.count).toBe(model.size)
      for (const key of [...model.keys(), ...others]) expect(table.get(key)).toBe(model.get(key))
      expect(new Map([...table.entries()].map(entry => [entry.id, entry.size]))).toEqual(model)
    }),
  )
})

test('grows past what it began with, and loses nothing that was not forgotten', () => {
  const table = new ObjectTable()
  const nth = (i: number): string => ((i * 2_654_435_761) >>> 0).toString(16).padStart(8, '0') + i.toString(16).padStart(24, '0')
  for (let i = 0; i < 20_000; i++) {
    table.set(nth(i), i * 1_000_000)
    if (i % 3 === 0) table.forget(nth(i))
  }
  for (let i = 0; i < 20_000; i++) if (table.get(nth(i)) !== (i % 3 === 0 ? undefined : i * 1_000_000)) throw new Error(`object ${i}`)
  expect(table.count).toBe(13_333)
})
