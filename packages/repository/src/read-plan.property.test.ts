import fc from 'fast-check'
import { expect, test } from 'vitest'
import { planGets } from './read-plan.ts'

const wanted = fc.record({
  object: fc.constantFrom('a', 'b'),
  offset: fc.nat(30),
  length: fc.integer({ min: 1, max: 6 }),
})
const options = fc.record({ coalesceGap: fc.nat(4), maxGet: fc.integer({ min: 1, max: 12 }) })

test('every item is in exactly one get that covers it', () => {
  fc.assert(
    fc.property(fc.array(wanted), options, (items, limits) => {
      const gets = planGets(items, limits)
      const planned = gets.flatMap(get => get.items)
      expect(planned.length).toBe(items.length)
      expect(new Set(planned)).toEqual(new Set(items))
      for (const get of gets) {
        for (const item of get.items) {
          expect(item.object).toBe(get.object)
          expect(item.offset).toBeGreaterThanOrEqual(get.offset)
          expect(item.offset + item.length).toBeLessThanOrEqual(get.offset + get.length)
        }
      }
    }),
  )
})

test('a get starts and ends with a wanted byte, stays below its limit, and has no gap above the allowed', () => {
  fc.assert(
    fc.property(fc.array(wanted), options, (items, limits) => {
      for (const get of planGets(items, limits)) {
        const bytes = new Array<boolean>(get.length).fill(false)
        for (const { offset, length } of get.items) bytes.fill(true, offset - get.offset, offset - get.offset + length)
        expect([bytes[0], bytes.at(-1)]).toEqual([true, true])
        if (get.items.length > 1) expect(get.length).toBeLessThanOrEqual(Math.max(limits.maxGet, get.items[0]!.length))
        const gaps =
          bytes
            .map(b => (b ? '1' : '0'))
            .join('')
            .match(/0+/g) ?? []
        for (const gap of gaps) expect(gap.length).toBeLessThanOrEqual(limits.coalesceGap)
      }
    }),
  )
})

test('neighbours travel together when they may', () => {
  const items = [0, 10, 20, 40].map(offset => ({ object: 'a', offset, length: 8 }))
  const gets = planGets(items, { coalesceGap: 2, maxGet: 100 })
  expect(gets.map(({ offset, length }) => [offset, length])).toEqual([
    [0, 28],
    [40, 8],
  ])
})
