import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HciError } from '../errors.ts'
import { parseJsonBody } from './json-body.ts'

test('any JSON comes back as JSON.parse gives it', () => {
  fc.assert(
    fc.property(fc.jsonValue(), value => {
      const text = JSON.stringify(value)
      if (text.includes('__proto__')) return
      expect(parseJsonBody(text)).toEqual(JSON.parse(text))
    }),
  )
})

test('cut and changed JSON is parsed or refused, never anything else', () => {
  const text = JSON.stringify({ name: 'a "b" \\', list: [1, { x: null }], deep: { deeper: { deepest: [[]] } } })
  fc.assert(
    fc.property(fc.nat(text.length), fc.nat(text.length), fc.constantFrom('', '{', '}', '[', '"', '\\', '0', '\0'), (from, to, insert) => {
      try {
        parseJsonBody(text.slice(0, from) + insert + text.slice(to))
      } catch (error) {
        expect(error).toBeInstanceOf(HciError)
      }
    }),
  )
})

test('deep nesting and __proto__ are refused, brackets in strings are not nesting', () => {
  expect(() => parseJsonBody('['.repeat(100_000))).toThrow('deeper')
  expect(() => parseJsonBody('{"a":{"__proto__":{}}}')).toThrow('__proto__')
  expect(() => parseJsonBody('{"\\u005f_proto__":{}}')).toThrow('__proto__')
  expect(parseJsonBody(JSON.stringify('['.repeat(1000)))).toBe('['.repeat(1000))
  expect(parseJsonBody('  ')).toBe(undefined)
})
