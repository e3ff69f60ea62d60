import { expect, test } from 'vitest'
import { Tokens } from './tokens.ts'

test('a token is good until its time is over', () => {
  const tokens = new Tokens(60)
  const { id, expires } = tokens.issue('user', 1000)
  expect(expires).toBe(61_000)
  expect(tokens.check(id, 60_999)).toBe('user')
  expect(() => tokens.check(id, 61_000)).toThrow('expired')
  expect(() => tokens.check(id, 1000)).toThrow('expired')
})

test('unknown tokens are refused, every token is another', () => {
  const tokens = new Tokens(60)
  expect(() => tokens.check('0'.repeat(48), 0)).toThrow('expired')
  expect(tokens.issue('a', 0).id).not.toBe(tokens.issue('a', 0).id)
})

test('however many log in, memory is bounded and the newest goes on', () => {
  const tokens = new Tokens(60)
  const first = tokens.issue('a', 0)
  let last = first
  for (let i = 0; i < 10_000; i++) last = tokens.issue('a', 0)
  expect(() => tokens.check(first.id, 0)).toThrow('expired')
  expect(tokens.check(last.id, 0)).toBe('a')
})
