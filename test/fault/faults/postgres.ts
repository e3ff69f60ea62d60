import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { type Fault, SUCCEEDS } from '../driver/fault.ts'
import { BACKUP_POINTS, type Point, RESTORE_POINTS } from '../driver/points.ts'
import type { WorldOptions } from '../driver/world.ts'

const WHERE: readonly Point[] = [
  'queued',
  'planning',
  'lease-unheard',
  'middle-range',
  'sealing',
  'finishing',
  'restore-lease-unheard',
  'restore-middle-range',
]
const BEHIND_A_RELAY: WorldOptions = { relayed: ['database'] }

export const postgresKilled: Fault = {
  name: 'postgres-killed',
  title: 'kill -9 of PostgreSQL, started again after 1 s',
  where: [...BACKUP_POINTS, ...RESTORE_POINTS],
  quick: ['middle-range'],
  async inject({ world }) {
    await world.database.kill()
    await sleep(1000)
    await world.database.start()
  },
  expect: SUCCEEDS,
}

export const postgresConnectionsCut: Fault = {
  name: 'postgres-connections-cut',
  title: 'pg_terminate_backend of all connections, 30 times in 3 s, whatever transactions are open',
  where: WHERE,
  quick: ['lease-unheard'],
  async inject({ world }) {
    const client = await world.database.connect()
    try {
      for (let round = 0; round < 30; round += 1) {
        await client.query(
          'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
        )
        await sleep(100)
      }
    } finally {
      await client.end().catch(() => {})
    }
  },
  expect: SUCCEEDS,
}

/** More than the server lets in. */
const CONNECTIONS = 220
const FULL_MS = 10_000

export const postgresOutOfConnections: Fault = {
  name: 'postgres-out-of-connections',
  title: `every connection of PostgreSQL taken by others for ${FULL_MS / 1000} s, the catalog's cut`,
  where: ['queued', 'middle-range', 'sealing', 'restore-middle-range'],
  quick: ['middle-range'],
  async inject({ world }) {
    const taken: pg.Client[] = []
    try {
      const first = await world.database.connect()
      taken.push(first)
      await first.query(
        'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
      )
      const tries = await Promise.allSettled(Array.from({ length: CONNECTIONS }, () => world.database.connect()))
      for (const attempt of tries) if (attempt.status === 'fulfilled') taken.push(attempt.value)
      if (taken.length > CONNECTIONS) throw new Error('the server let everybody in')
      await sleep(FULL_MS)
    } finally {
      await Promise.allSettled(taken.map(client => client.end()))
    }
  },
  expect: SUCCEEDS,
}

export const postgresMoved: Fault = {
  name: 'postgres-moved',
  title: 'PostgreSQL goes on at another address, every connection cut (failover)',
  world: BEHIND_A_RELAY,
  where: ['planning', 'middle-range', 'restore-middle-range'],
  quick: ['middle-range'],
  async inject({ world }) {
    await world.relays.get('database')?.cut()
    await world.database.moveTo(join(world.folder, `postgres-${Date.now()}`))
    await world.relays.get('database')?.open()
  },
  expect: SUCCEEDS,
}
