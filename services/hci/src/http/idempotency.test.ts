import { expect, test } from 'vitest'
import { Idempotency } from './idempotency.ts'

const OK = { status: 201, body: '{}' }
const MINUTE = 60_000

test('the first answer comes again for 15 minutes', async () => {
  const store = new Idempotency()
  expect(await store.begin('k', 'body', 0)).toBe(undefined)
  store.settle('k', OK)
  expect(await store.begin('k', 'body', 14 * MINUTE)).toEqual(OK)
  expect(await store.begin('k', 'body', 15 * MINUTE)).toBe(undefined)
})

test('another body under the same token is a mismatch', async () => {
  const store = new Idempotency()
  await store.begin('k', 'body', 0)
  expect(await store.begin('k', 'other', 1)).toBe('mismatch')
})

test('a second call waits for the first; when that is refused, exactly one waiter goes on', async () => {
  const store = new Idempotency()
  await store.begin('k', 'body', 0)
  const waiting = [store.begin('k', 'body', 1), store.begin('k', 'body', 1)]
  store.settle('k', undefined)
  const first = await Promise.race(waiting)
  expect(first).toBe(undefined)
  store.settle('k', OK)
  expect(await Promise.all(waiting)).toContainEqual(OK)
})
