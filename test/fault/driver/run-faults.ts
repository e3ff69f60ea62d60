import type { Run } from '@varve/catalog-client'
import type { Fault } from './fault.ts'
import { isRestore, type Point } from './points.ts'
import { randomOf } from './random.ts'
import { knownPoint } from './stored-points.ts'
import { endOf, injectOnce, type Outcome } from './story.ts'
import { type GuestVm, makeVm } from './vm.ts'
import { problemsOf } from './whole.ts'
import { startWorld, type World } from './world.ts'

export interface RunOptions {
  readonly seed: number
  readonly quick: boolean
  readonly onOutcome?: (outcome: Outcome) => void
}

/** Injections at random times of each fault in the long run, of a backup and of a restore. */
const RANDOM = 2

/** Every fault at every of its points; faults that need the same world share one. */
export async function runFaults(faults: readonly Fault[], { seed, quick, onOutcome = () => {} }: RunOptions): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  let current: { readonly key: unknown; readonly world: World; vm: GuestVm } | undefined
  let vms = 0
  try {
    for (const fault of faults) {
      const random = randomOf(seed ^ hashOf(fault.name))
      const points: Point[] = quick ? [...fault.quick] : [...fault.where, ...randomPoints(fault)]
      for (const point of points) {
        let outcome: Outcome
        try {
          if (current === undefined || current.key !== fault.world) {
            await current?.world.close()
            current = undefined
            const world = await startWorld(fault.world)
            vms += 1
            current = { key: fault.world, world, vm: await firstBackup(world, `vm-${vms}`) }
          }
          outcome = await injectOnce(current.world, current.vm, fault, point, random)
        } catch (error) {
          outcome = {
            fault: fault.name,
            point,
            state: '-',
            reason: null,
            recoverMs: 0,
            problems: [error instanceof Error ? error.message : String(error)],
          }
        }
        outcomes.push(outcome)
        onOutcome(outcome)
        // What went wrong here must not show as the fault of the next.
        if (outcome.problems.length > 0) {
          await current?.world.close().catch(() => {})
          current = undefined
        }
      }
      if (current !== undefined && current.key === fault.world) {
        const problems = await problemsOf(current.world, [current.vm], current.world.points).catch(error => [String(error)])
        if (problems.length > 0) {
          outcomes.push({ fault: fault.name, point: 'random', state: 'all points', reason: null, recoverMs: 0, problems })
          onOutcome(outcomes.at(-1)!)
        }
      }
    }
    return outcomes
  } finally {
    await current?.world.close()
  }
}

function randomPoints(fault: Fault): Point[] {
  const sides: Point[] = []
  if (fault.where.some(point => !isRestore(point))) sides.push('random')
  if (fault.where.some(isRestore)) sides.push('restore-random')
  return sides.flatMap(side => Array.from({ length: RANDOM }, () => side))
}

/** A VM with a full backup, to restore from and to go on from. */
async function firstBackup(world: World, name: string): Promise<GuestVm> {
  const vm = await makeVm(world, name)
  const truth = vm.truth()
  const run = await endOf(world, await world.api<Run>('POST', `/v1/vms/${vm.vmId}/backups`, {}), 300_000)
  if (run.state !== 'succeeded' || run.restorePointId === null)
    throw new Error(`the first backup is ${run.state}: ${run.reason} ${run.message}`)
  world.points.push(await knownPoint(world, run.restorePointId, truth))
  return vm
}

function hashOf(text: string): number {
  let hash = 0
  for (const char of text) hash = (Math.imul(hash, 31) + char.charCodeAt(0)) >>> 0
  return hash
}
