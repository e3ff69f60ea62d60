import { setTimeout as sleep } from 'node:timers/promises'
import { type Fault, SUCCEEDS } from '../driver/fault.ts'
import type { Point } from '../driver/points.ts'
import type { WorldOptions } from '../driver/world.ts'

const WHERE: readonly Point[] = [
  'queued',
  'planning',
  'first-range',
  'middle-range',
  'sealing',
  'cleaning-up',
  'restore-queued',
  'restore-middle-range',
]
const BEHIND_A_RELAY: WorldOptions = { relayed: ['queue'] }
const AWAY_MS = 60_000

export const redisKilled: Fault = {
  name: 'redis-killed',
  title: 'kill -9 of Redis, started again empty after 2 s',
  where: WHERE,
  quick: ['middle-range'],
  async inject({ world }) {
    await world.redis.kill()
    await sleep(2000)
    world.redis.start()
  },
  expect: SUCCEEDS,
}

export const redisFlushed: Fault = {
  name: 'redis-flushed',
  title: 'FLUSHALL',
  where: WHERE,
  quick: ['middle-range'],
  async inject({ world }) {
    const answer = await world.redisCommand('FLUSHALL')
    if (answer !== '+OK') throw new Error(`FLUSHALL: ${answer}`)
  },
  expect: SUCCEEDS,
}

export const redisUnreachable: Fault = {
  name: 'redis-unreachable',
  title: `Redis out of reach for ${AWAY_MS / 1000} s`,
  world: BEHIND_A_RELAY,
  where: ['queued', 'middle-range', 'restore-middle-range'],
  quick: ['middle-range'],
  async inject({ world }) {
    await world.relays.get('queue')?.cut()
    await sleep(AWAY_MS)
    await world.relays.get('queue')?.open()
  },
  expect: SUCCEEDS,
}
