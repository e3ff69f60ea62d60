import type { Run } from '@varve/catalog-client'
import { type Fault, type Injection, SUCCEEDS } from './fault.ts'
import { clearScripts, type ScriptedFault, script, scriptedHits } from './scripted.ts'
import type { World } from './world.ts'

export interface PlatformFault extends Omit<Fault, 'inject' | 'heal' | 'struck' | 'after'> {
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
      for (const spec of faults(injection)) await script(injection.world, spec)
    },
    struck: async ({ world }) => (await firstHits(world)) > 0,
    async after({ world, run }) {
      const hits = await firstHits(world)
      await clearScripts(world)
      if (hits === 0) return []
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

/** Of the one that must strike. */
async function firstHits(world: World): Promise<number> {
  return (await scriptedHits(world))[0] ?? 0
}
