import { expect, test } from 'vitest'
import { atLeast, atMost, headroom } from './targets.ts'

test('a target is met at its limit; what was not measured is not met', () => {
  expect(atLeast('read', 0.6, 0.6, 'x')).toEqual({ name: 'read', target: '>= 0.6 x', measured: 0.6, unit: 'x', met: true })
  expect(atLeast('read', 0.5999, 0.6, 'x').met).toBe(false)
  expect(atMost('time', 1.3, 1.3, 's').met).toBe(true)
  expect(atMost('time', 1.31, 1.3, 's').met).toBe(false)
  expect(atMost('time', undefined, 1.3, 's')).toMatchObject({ measured: null, met: false })
})

test('headroom is 1 at the limit and grows with what is better', () => {
  const of = headroom
  expect(of(atLeast('read', 3, 2, 'x'))).toBe(1.5)
  expect(of(atMost('time', 1, 2, 's'))).toBe(2)
  expect(of(atMost('time', 4, 2, 's'))).toBe(0.5)
  expect(of(atMost('lists', 0, 0, 'requests'))).toBe(2)
  expect(of(atMost('time', undefined, 2, 's'))).toBe(0)
  expect(of(atMost('lists', 1, 0, 'requests'))).toBe(0)
})
