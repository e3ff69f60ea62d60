import { expect, test } from 'vitest'
import { type ErrorTable, errorReport, VarveError } from './index.ts'

const TABLE = {
  DISK_FULL: { retryable: false, status: 507, help: 'Make room.' },
  BUSY: { retryable: true, help: 'Wait.' },
} as const satisfies ErrorTable

class TestError extends VarveError<keyof typeof TABLE> {
  override readonly name = 'TestError'
  protected override readonly table = TABLE
}

test('facts come from the table, with 500 as the status of those that have none', () => {
  const cause = new Error('no space')
  const error = new TestError('DISK_FULL', 'the disk is full', { disk: 'virtio0' }, { cause })
  expect(error).toMatchObject({ code: 'DISK_FULL', retryable: false, status: 507, context: { disk: 'virtio0' }, cause })
  expect(new TestError('BUSY', 'busy')).toMatchObject({ retryable: true, status: 500, context: {} })
})

test.each<[thrown: unknown, code: string, retryable: boolean]>([
  [new TestError('BUSY', 'x'), 'BUSY', true],
  [new TestError('DISK_FULL', 'x'), 'DISK_FULL', false],
  [Object.assign(new Error('x'), { code: 'ENOSPC' }), 'ENOSPC', true],
  [Object.assign(new Error('x'), { code: 'ERR_INVALID_ARG_TYPE' }), 'INTERNAL', true],
  [new Error('x'), 'INTERNAL', true],
  ['x', 'INTERNAL', true],
  [undefined, 'INTERNAL', true],
])('the report of %s has code %s', (thrown, code, retryable) => {
  expect(errorReport(thrown)).toMatchObject({ code, retryable })
})
