import { expect, test } from 'vitest'
import { type Fault, SUCCEEDS } from './fault.ts'
import type { WorldOptions } from './world.ts'
import { WorldQueue } from './world-queue.ts'

const RELAYED: WorldOptions = { relayed: ['queue'] }

function fault(name: string, injections: number, world?: WorldOptions): Fault {
  const where = Array.from({ length: injections }, () => 'queued' as const)
  return { name, title: name, where, quick: [], inject: async () => {}, expect: SUCCEEDS, ...(world === undefined ? {} : { world }) }
}

function queueOf(...faults: Fault[]): WorldQueue {
  return new WorldQueue(faults, ({ where }) => where.length)
}

test('a lane stays in its world while there is something to do, the longest first', () => {
  const queue = queueOf(fault('short', 1), fault('other', 9, RELAYED), fault('long', 3))
  expect(queue.take({ options: undefined })?.name).toBe('long')
  expect(queue.take({ options: undefined })?.name).toBe('short')
  expect(queue.take({ options: undefined })?.name).toBe('other')
  expect(queue.take({ options: RELAYED })).toBeUndefined()
})

test('a lane without a world takes the one with most to do in all, not the longest fault', () => {
  const queue = queueOf(fault('one', 3), fault('two', 3), fault('other', 5, RELAYED))
  expect(queue.take()?.name).toBe('one')
  expect(queue.take()?.name).toBe('other')
  expect(queue.take()?.name).toBe('two')
  expect(queue.take()).toBeUndefined()
})
