import { once } from 'node:events'
import { createServer } from 'node:net'
import { expect, test, vi } from 'vitest'
import { FREE_PORTS, freePort } from './free-port.ts'

const random = vi.hoisted(() => ({ next: [] as number[] }))
vi.mock('node:crypto', async original => {
  const crypto = await original<typeof import('node:crypto')>()
  return { ...crypto, randomInt: (from: number, to: number) => random.next.shift() ?? crypto.randomInt(from, to) }
})

test('a port that is in use is passed over; none is of those that outgoing connections get', async () => {
  const taken = await freePort()
  const server = createServer().listen(taken, '127.0.0.1')
  await once(server, 'listening')
  const other = taken === FREE_PORTS.last ? FREE_PORTS.first : taken + 1
  random.next = [taken, taken, other]
  const found = await freePort()
  server.close()
  expect({ found, asked: random.next }).toEqual({ found: other, asked: [] })
  expect(found).toBeGreaterThanOrEqual(FREE_PORTS.first)
  expect(found).toBeLessThanOrEqual(FREE_PORTS.last)
})
