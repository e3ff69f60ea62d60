import { setTimeout as sleep } from 'node:timers/promises'
import { type Fault, SUCCEEDS } from '../driver/fault.ts'
import { COPYING, type Point, RESTORE_COPYING } from '../driver/points.ts'
import type { Supervised } from '../driver/supervised.ts'

/** Past the lock of the queue (4 s) and the reconciler's silence (6 s): others have taken over when it wakes up. */
const PAUSE_MS = 9000

/** SIGSTOP of one process of a service; SIGCONT when its work has been given away. What it then reports must change nothing. */
function paused(service: string, where: readonly Point[], quick: readonly Point[]): Fault {
  return {
    name: `${service}-paused`,
    title: `SIGSTOP of one ${service} for ${PAUSE_MS / 1000} s, past the queue's lock, then SIGCONT`,
    where,
    quick,
    inject: ({ world }) => pause([world.services.get(service)]),
    expect: SUCCEEDS,
  }
}

async function pause(processes: Iterable<Supervised | undefined>): Promise<void> {
  const hit = [...processes]
  for (const process of hit) process?.signal('SIGSTOP')
  await sleep(PAUSE_MS)
  for (const process of hit) process?.signal('SIGCONT')
}

export const servicePaused: readonly Fault[] = [
  paused('block-reader', COPYING, ['middle-range']),
  paused('block-writer', RESTORE_COPYING, ['restore-middle-range']),
  paused('snapshot', ['before-snapshot', 'planning', 'lease-unheard', 'sealing', 'cleaning-up', 'restore-lease-unheard'], ['sealing']),
  paused('catalog', ['middle-range', 'sealing', 'restore-middle-range'], ['middle-range']),
  paused('api', ['middle-range', 'restore-middle-range'], ['middle-range']),
  paused('maintenance', ['middle-range', 'restore-middle-range'], ['middle-range']),
  {
    name: 'all-services-paused',
    title: `SIGSTOP of every service at once for ${PAUSE_MS / 1000} s, then SIGCONT`,
    where: [
      'queued',
      'before-snapshot',
      'planning',
      'before-lease',
      'middle-range',
      'sealing',
      'cleaning-up',
      'restore-before-lease',
      'restore-middle-range',
    ],
    quick: ['middle-range'],
    inject: ({ world }) => pause(world.services.values()),
    expect: SUCCEEDS,
  },
]
