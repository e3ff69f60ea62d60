import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { abortable } from './abortable.ts'

test('work is waited for until the signal aborts, and leaves no listener behind', async () => {
  const { signal } = new AbortController()
  expect(await abortable(Promise.resolve(1), undefined)).toBe(1)
  expect(await abortable(Promise.resolve(2), signal)).toBe(2)
  await expect(abortable(Promise.reject(new Error('its own')), signal)).rejects.toThrow('its own')
  expect(getEventListeners(signal, 'abort')).toEqual([])

  const stop = new AbortController()
  const waiting = abortable(new Promise(() => {}), stop.signal)
  stop.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  await expect(abortable(new Promise(() => {}), stop.signal)).rejects.toThrow('enough')
})
