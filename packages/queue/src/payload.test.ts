import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bullJobId, checkPayload } from './payload.ts'

test('only the known fields of a payload go on', () => {
  expect(checkPayload('read-range', { runId: 'r', rangeId: 'x', data: 'no' })).toEqual({ runId: 'r', rangeId: 'x' })
})

test.each([
  [undefined],
  [null],
  ['text'],
  [{}],
  [{ runId: 5, rangeId: 'x' }],
  [{ runId: '', rangeId: 'x' }],
  [{ runId: 'x'.repeat(257), rangeId: 'x' }],
])('the payload %j is QUEUE_JOB_INVALID', payload => {
  expect(() => checkPayload('read-range', payload)).toThrow(expect.objectContaining({ code: 'QUEUE_JOB_INVALID' }))
})

test.each(['nonsense', 'constructor', '__proto__', ''])('no job is called %j', name => {
  expect(() => checkPayload(name as 'finish-run', { runId: 'r' })).toThrow(expect.objectContaining({ code: 'QUEUE_JOB_INVALID' }))
})

test('every id becomes one that BullMQ takes, and different ones stay different', () => {
  const id = fc.string({ minLength: 1, maxLength: 12, unit: fc.constantFrom('a', '1', ':', '%', '3', 'A', '/', 'é') })
  fc.assert(
    fc.property(id, id, (a, b) => {
      expect(bullJobId(a)).toMatch(/^j-[^:]+$/)
      expect(bullJobId(a) === bullJobId(b)).toBe(a === b)
    }),
  )
})
