import { setTimeout as sleep } from 'node:timers/promises'
import { type Fault, SUCCEEDS } from '../driver/fault.ts'
import { BACKUP_POINTS, type Point, RESTORE_POINTS } from '../driver/points.ts'
import type { World, WorldOptions } from '../driver/world.ts'

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
const EVICTS_MS = 5000

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
  where: [...BACKUP_POINTS, ...RESTORE_POINTS],
  quick: ['middle-range'],
  async inject({ world }) {
    const answer = await world.redisCommand('FLUSHALL')
    if (answer !== '+OK') throw new Error(`FLUSHALL: ${answer}`)
  },
  expect: SUCCEEDS,
}

export const redisEvicting: Fault = {
  name: 'redis-evicting',
  title: `Redis out of memory: it evicts keys at random and refuses writes, for ${EVICTS_MS / 1000} s`,
  where: ['queued', 'planning', 'first-range', 'middle-range', 'sealing', 'restore-queued', 'restore-middle-range'],
  quick: ['middle-range'],
  async inject({ world }) {
    await configure(world, { 'maxmemory-policy': 'allkeys-random', maxmemory: '1mb' })
    await sleep(EVICTS_MS)
    await configure(world, { maxmemory: '0', 'maxmemory-policy': 'noeviction' })
    if ((await world.redisNumber('evicted_keys')) === 0) throw new Error('Redis evicted nothing')
  },
  expect: SUCCEEDS,
}

async function configure(world: World, settings: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, value] of Object.entries(settings)) {
    const answer = await world.redisCommand(`CONFIG SET ${name} ${value}`)
    if (answer !== '+OK') throw new Error(`CONFIG SET ${name}: ${answer}`)
  }
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
