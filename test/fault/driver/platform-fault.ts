import type { Run } from '@varve/catalog-client'
import { type Fault, type Injection, SUCCEEDS } from './fault.ts'

/** As services/hci/API.md has them. */
export interface ScriptedFault {
  readonly kind: string
  readonly match?: Readonly<Record<string, string>>
  readonly count?: number
  readonly params?: Readonly<Record<string, unknown>>
}

export interface PlatformFault extends Omit<Fault, 'inject' | 'heal' | 'after'> {
  /** The first of them is what must strike; others may help it. */
  readonly faults: (injection: Injection) => readonly ScriptedFault[]
  readonly after?: (run: Run) => readonly string[]
}

/** Faults that the platform scripts, from the moment that the held step goes on to the end of the run. */
export function platformFault({ faults, after, ...fault }: PlatformFault): Fault {
  return {
    ...fault,
    async inject() {},
    // Not before: releasing the step takes every scripted fault away.
    async heal(injection) {
      for (const spec of faults(injection)) await injection.world.platformCall('POST', '/varve-test/faults', spec)
    },
    async after({ world, run, point }) {
      const { faults: made } = await world.platformCall<{ faults: { hits: number }[] }>('GET', '/varve-test/faults')
      await world.platformCall('DELETE', '/varve-test/faults')
      const hits = made[0]?.hits ?? 0
      // A random time may be after the last call.
      if (hits === 0) return point.endsWith('random') ? [] : [`the platform did nothing wrong at ${point}`]
      const mayEnd = fault.expect.some(({ state, reason }) => state === run.state && reason === run.reason)
      return [...(mayEnd ? [] : [`struck ${hits} times, the run is ${run.state} (${run.reason})`]), ...(after?.(run) ?? [])]
    },
    // As it always is when nothing came of the fault; `after` tells.
    expect: [...fault.expect, ...SUCCEEDS],
  }
}

/** Each disk is a full for this reason, unless a full was asked for anyway. */
export function fullBecause(reason: string, disks: readonly string[]): (run: Run) => readonly string[] {
  return run =>
    run.images
      .filter(image => disks.includes(image.diskId) && image.reason !== reason && image.reason !== 'requested')
      .map(image => `${image.diskId} is ${image.kind} (${image.reason}), not a full because of ${reason}`)
}
