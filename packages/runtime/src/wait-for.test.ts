import { expect, test } from 'vitest'
import { RuntimeError } from './errors.ts'
import type { Logger } from './log.ts'
import { waitFor } from './wait-for.ts'

function recorder(): { log: Logger; said: string[] } {
  const said: string[] = []
  const say = (_: unknown, text: string): void => void said.push(text)
  return { log: { warn: say, info: say } as unknown as Logger, said }
}

test('what is not there yet is waited for, said once, and greeted when it comes', async () => {
  const { log, said } = recorder()
  let tries = 0
  const result = await waitFor(
    'queue',
    async () => {
      tries += 1
      if (tries < 4) throw new Error('ECONNREFUSED')
      return 'open'
    },
    { log },
  )
  expect(result).toBe('open')
  expect(said).toEqual(['waiting for the queue', 'the queue is there'])
})

test('what is there at once is not spoken of', async () => {
  const { log, said } = recorder()
  expect(await waitFor('queue', async () => 1, { log })).toBe(1)
  expect(said).toEqual([])
})

test('what waiting does not help is thrown at once, and a stop ends the waiting', async () => {
  const { log } = recorder()
  const refused = new RuntimeError('CONFIG_INVALID', 'wrong')
  await expect(waitFor('queue', () => Promise.reject(refused), { log })).rejects.toBe(refused)
  const stop = new AbortController()
  const waiting = waitFor('queue', () => Promise.reject(new Error('away')), { log, signal: stop.signal })
  stop.abort(new Error('stopped'))
  await expect(waiting).rejects.toThrow('stopped')
})
