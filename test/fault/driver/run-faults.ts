import type { Run } from '@varve/catalog-client'
import type { Fault } from './fault.ts'
import { isRestore, type Point } from './points.ts'
import { type Random, randomOf } from './random.ts'
import { endOf } from './run-end.ts'
import { knownPoint } from './stored-points.ts'
import { injectOnce, type Outcome } from './story.ts'
import { type GuestVm, makeVm } from './vm.ts'
import { problemsOf } from './whole.ts'
import { startWorld, type World, type WorldOptions } from './world.ts'
import { WorldQueue } from './world-queue.ts'

export interface RunOptions {
  readonly seed: number
  readonly quick: boolean
  /** How many worlds run beside each other, each with faults of its own (default 1): most of a fault's time is waiting. */
  readonly worlds?: number
  readonly onOutcome?: (outcome: Outcome) => void
}

/** Injections at random times of each fault in the long run, of a backup and of a restore. */
const RANDOM = 1

/** Then a world is old: all its points are looked at after each fault, and its repository after each injection. */
const MAX_POINTS = 60

/** A run may be past a point before the fault is made: so often it is tried until it strikes. */
const TRIES = 3

/** Every fault at every of its points; faults that need the same world share one. What is injected when depends on the seed alone. */
export async function runFaults(faults: readonly Fault[], options: RunOptions): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  const tell = (outcome: Outcome): void => {
    outcomes.push(outcome)
    options.onOutcome?.(outcome)
  }
  const queue = new WorldQueue(faults, fault => pointsOf(fault, options.quick).length)
  const lanes = Array.from({ length: options.worlds ?? 1 }, async (_, n) => {
    const lane = new Lane(`lane-${n + 1}`)
    try {
      for (let fault = queue.take(); fault !== undefined; fault = queue.take(lane.running)) {
        await lane.injectAll(fault, options, tell)
      }
    } finally {
      await lane.close()
    }
  })
  const failed = (await Promise.allSettled(lanes)).find(end => end.status === 'rejected')
  if (failed !== undefined) throw failed.reason
  const place = new Map(faults.map((fault, index) => [fault.name, index]))
  return outcomes.sort((a, b) => (place.get(a.fault) ?? 0) - (place.get(b.fault) ?? 0))
}

/** One world after the other. */
class Lane {
  readonly #name: string
  #current: { readonly options: WorldOptions | undefined; readonly world: World; readonly vm: GuestVm } | undefined
  #worlds = 0

  constructor(name: string) {
    this.#name = name
  }

  get running(): { readonly options: WorldOptions | undefined } | undefined {
    return this.#current
  }

  async injectAll(fault: Fault, { seed, quick }: RunOptions, tell: (outcome: Outcome) => void): Promise<void> {
    if ((this.#current?.world.points.length ?? 0) > MAX_POINTS) await this.close()
    const random = randomOf(seed ^ hashOf(fault.name))
    for (const point of pointsOf(fault, quick)) {
      let outcome = await this.#inject(fault, point, random)
      for (let more = TRIES - 1; more > 0 && !outcome.struck && outcome.problems.length === 1; more -= 1)
        outcome = await this.#inject(fault, point, random)
      tell(outcome)
      // What went wrong here must not show as the fault of the next.
      if (outcome.problems.length > 0) await this.close().catch(() => {})
    }
    if (this.#current === undefined) return
    const { world, vm } = this.#current
    const problems = await problemsOf(world, [vm], world.points).catch(error => [String(error)])
    if (problems.length > 0) tell(outcomeOf(fault, 'random', 'all points', problems))
  }

  async #inject(fault: Fault, point: Point, random: Random): Promise<Outcome> {
    try {
      const { world, vm } = await this.#worldOf(fault)
      return await injectOnce(world, vm, fault, point, random)
    } catch (error) {
      return outcomeOf(fault, point, '-', [error instanceof Error ? error.message : String(error)])
    }
  }

  async close(): Promise<void> {
    const current = this.#current
    this.#current = undefined
    await current?.world.close()
  }

  async #worldOf(fault: Fault): Promise<{ readonly world: World; readonly vm: GuestVm }> {
    if (this.#current?.options === fault.world && this.#current !== undefined) return this.#current
    await this.close()
    const world = await oneAtATime(() => startWorld(fault.world))
    this.#worlds += 1
    try {
      this.#current = { options: fault.world, world, vm: await firstBackup(world, `${this.#name}-vm-${this.#worlds}`) }
    } catch (error) {
      await world.close().catch(() => {})
      throw error
    }
    return this.#current
  }
}

let starting: Promise<unknown> = Promise.resolve()

/** Free ports are found before they are used: two worlds that start at once could find the same. */
function oneAtATime<T>(start: () => Promise<T>): Promise<T> {
  const started = starting.then(start)
  starting = started.catch(() => {})
  return started
}

function pointsOf(fault: Fault, quick: boolean): Point[] {
  return quick ? [...fault.quick] : [...fault.where, ...randomPoints(fault)]
}

function outcomeOf({ name }: Fault, point: Point, state: string, problems: readonly string[]): Outcome {
  return { fault: name, point, state, reason: null, recoverMs: 0, struck: true, problems }
}

function randomPoints(fault: Fault): Point[] {
  if (fault.notAtRandom) return []
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
