import { expect, test } from 'vitest'
import { workerNames } from './worker-name.ts'

test('a name says where, is never the same twice, and is short enough for the catalog', () => {
  const name = workerNames('node-3', 77)
  expect(name()).toMatch(/^node-3\/77\/[0-9a-f]{16}$/)
  expect(new Set(Array.from({ length: 100 }, name)).size).toBe(100)
  expect(workerNames('h'.repeat(500), 2 ** 31)().length).toBeLessThanOrEqual(200)
})
