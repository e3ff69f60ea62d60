import { expect, test } from 'vitest'
import { plainText, redactError } from './plain-text.ts'

test('text keeps what both servers can keep, and no more than asked', () => {
  expect(plainText('a\u0000b\ud800c')).toBe('ab\ufffdc')
  expect(plainText('😀😀', 2)).toBe('\ufffd…')
  expect(plainText('x'.repeat(10), 5)).toBe('xxxx…')
})

test("a driver's error is reduced to message and code", () => {
  const error = Object.assign(new Error('ERR bad script'), { code: 'X1', command: { name: 'evalsha', args: ['a whole script'] } })
  const redacted = redactError(error)
  expect(JSON.stringify({ ...redacted, message: redacted.message, stack: redacted.stack })).toBe('{"code":"X1","message":"ERR bad script"}')
})

test('a connection that failed at several addresses tells the first reason', () => {
  const error = new AggregateError([Object.assign(new Error('connect ECONNREFUSED ::1:6379'), { code: 'ECONNREFUSED' })])
  expect(redactError(error)).toMatchObject({ code: 'ECONNREFUSED', message: 'connect ECONNREFUSED ::1:6379' })
})

test('what is thrown need not be an error', () => {
  expect(redactError('text').message).toBe('text')
  expect(redactError(undefined).message).toBe('undefined')
})
