import { type S3FaultProxy, startS3FaultProxy } from '../../support/s3-fault-proxy.ts'
import type { S3FaultRule } from '../../support/s3-faults.ts'
import { type Fault, type Injection, SUCCEEDS } from './fault.ts'
import { COPYING, RESTORE_COPYING } from './points.ts'
import type { World, WorldOptions } from './world.ts'

/** MinIO behind a proxy that does what faults say. Requests may take 4 s; an installation's may take 120. */
export const BEHIND_PROXY: WorldOptions = behindProxy({})

/** Every object of a run is read back whole before it is sealed. */
export const READ_BACK_ALL: WorldOptions = behindProxy({ VARVE_READ_BACK: 'all' })

function behindProxy(environment: Readonly<Record<string, string>>): WorldOptions {
  return {
    environment: { VARVE_S3_TIMEOUT_SECONDS: '4', ...environment },
    storeProxy: target => startS3FaultProxy({ target }),
  }
}

export const OBJECTS = /\/(packs|maps|images|points)\//
/** Before anything is read or written, and in the middle of it. */
export const BACKUP_STORE_POINTS = ['before-lease', ...COPYING] as const
export const RESTORE_STORE_POINTS = ['restore-before-lease', ...RESTORE_COPYING] as const

export interface StoreFault extends Pick<Fault, 'name' | 'title' | 'where' | 'quick' | 'expect' | 'limitMs'> {
  readonly world?: WorldOptions
  /** What the proxy does from the injection to the end of the run. */
  readonly rules: (injection: Injection) => readonly S3FaultRule[]
  /** They end after so long, ms, while the run goes on. */
  readonly lastsMs?: number
}

/** A fault of the store that `rules` make. */
export function storeFault({ rules, lastsMs, world = BEHIND_PROXY, ...fault }: StoreFault): Fault {
  let made: readonly S3FaultRule[] = []
  const hitsOf = (world: World): number => made.reduce((sum, rule) => sum + faultsOf(world).hits(rule), 0)
  return {
    ...fault,
    world,
    async inject(injection) {
      const faults = faultsOf(injection.world)
      made = rules(injection).map(rule => faults.add(rule))
    },
    async heal({ world }) {
      if (lastsMs === undefined) return
      await new Promise(resolve => setTimeout(resolve, lastsMs))
      for (const rule of made) faultsOf(world).end(rule)
    },
    // The last range of a restore may read nothing any more.
    struck: async ({ world, point }) => point === 'restore-last-range' || hitsOf(world) > 0,
    async after({ world, run }) {
      const hits = hitsOf(world)
      faultsOf(world).clear()
      if (hits === 0) return []
      const mayEnd = fault.expect.some(({ state, reason }) => state === run.state && reason === run.reason)
      return mayEnd ? [] : [`hit ${hits} times, the run is ${run.state} (${run.reason})`]
    },
    // As it always is when nothing came of the fault; `after` tells.
    expect: [...fault.expect, ...SUCCEEDS],
  }
}

function faultsOf({ storeProxy }: World): S3FaultProxy['faults'] {
  return (storeProxy as S3FaultProxy).faults
}
