import { expect, test } from 'vitest'
import { isConnectionLoss } from './connection-loss.ts'

const withCode = (code: string): Error => Object.assign(new Error('x'), { code })

test.each(['ENOENT', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', '08006', '57P01', '57P03', '53300'])('%s is a lost connection', code => {
  expect(isConnectionLoss(withCode(code))).toBe(true)
})

test.each([
  'Connection terminated unexpectedly',
  'timeout exceeded when trying to connect',
  'Client has encountered a connection error and is not queryable',
])('%s', message => {
  expect(isConnectionLoss(new Error(message))).toBe(true)
})

test.each(['40P01', '42P01', '22P05', 'P0001'])('%s is not', code => {
  expect(isConnectionLoss(withCode(code))).toBe(false)
})
