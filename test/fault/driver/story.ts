import type { Run } from '@varve/catalog-client'
import { type DoneRanges, doneAgain, doneRanges } from './done-ranges.ts'
import type { Fault, Injection } from './fault.ts'
import { armPoint, isRestore, type Point } from './points.ts'
import type { Random } from './random.ts'
import { lookAtRestored, restoreTarget, startRestore } from './restores.ts'
import { endOf } from './run-end.ts'
import { type KnownPoint, knownPoint } from './stored-points.ts'
import type { GuestVm, VmTruth } from './vm.ts'
import { problemsOf } from './whole.ts'
import type { World } from './world.ts'

/** What one injection led to. */
export interface Outcome {
  readonly fault: string
  readonly point: Point
  readonly state: string
  readonly reason: string | null
  /** From the injection to the end of the run. */
  readonly recoverMs: number
  /** False: nothing was done wrong at this point, so nothing is shown. */
  readonly struck: boolean
  /** What is not as the table says; empty: all is well. */
  readonly problems: readonly string[]
}

const LIMIT_MS = 240_000
const REACH_MS = 120_000
/** Much shorter than a step is held. */
const REACH_STEP_MS = 50
/** A run with slowed disks takes about as long. */
const RUN_MS = 4000

/** Start a run, inject the fault when it comes to the point, let it end, and look at everything. */
export async function injectOnce(world: World, vm: GuestVm, fault: Fault, point: Point, random: Random): Promise<Outcome> {
  const problems: string[] = []
  const randomMs = random.below(RUN_MS)
  const source = isRestore(point) ? lastPointOf(world, vm) : undefined
  const target = restoreTarget(point, random)
  // Before a backup, and so that a restore over the VM has something to undo.
  if (source === undefined || target !== 'new-vm') await vm.change(random)
  const armed = await armPoint(world, point, randomMs, fault.slowTo)
  let held = true
  const release = async (): Promise<void> => {
    // Once: what `heal` makes the platform do must stay.
    if (held) await armed.release()
    held = false
  }
  let truth: VmTruth
  let run: Run
  let injected: number
  let done: DoneRanges
  try {
    run = source === undefined ? await startBackup(world, vm, random) : await startRestore(world, vm, source, target)
    await reach(world, run, point, armed.reached)
    injected = Date.now()
    const injection: Injection = { world, vm, run, point, random }
    done = await doneRanges(world, run.id)
    await fault.inject(injection)
    // After it: a disk may have been replaced.
    truth = vm.truth()
    await release()
    await (fault.heal?.(injection) ?? world.startAll())
  } finally {
    await release()
  }
  run = await endOf(world, run, fault.limitMs ?? LIMIT_MS)
  const recoverMs = Date.now() - injected
  await world.startAll()
  await world.ready()
  // A random time may be after all that could go wrong.
  const struck = point.endsWith('random') || ((await fault.struck?.({ world, vm, run, point, random })) ?? true)
  if (!struck) problems.push(`nothing was done wrong at ${point}`)
  problems.push(...((await fault.after?.({ world, vm, run, point, random })) ?? []))
  if (!fault.expect.some(({ state, reason }) => state === run.state && reason === run.reason)) {
    problems.push(`the run is ${run.state} (${run.reason}: ${run.message})`)
  }
  problems.push(...(await doneAgain(world, run.id, done)))
  const touched: KnownPoint[] = []
  if (source !== undefined) {
    problems.push(...(await lookAtRestored(world, vm, run, source, target)))
  } else if (run.restorePointId !== null) {
    const sealed = await knownPoint(world, run.restorePointId, truth)
    world.points.push(sealed)
    touched.push(sealed)
  }
  problems.push(...(await problemsOf(world, [vm], touched)))
  return { fault: fault.name, point, state: run.state, reason: run.reason, recoverMs, struck, problems }
}

function lastPointOf(world: World, vm: GuestVm): KnownPoint {
  const point = world.points.findLast(candidate => candidate.vmId === vm.vmId)
  if (point === undefined) throw new Error('there is nothing to restore yet')
  return point
}

/** A backup in full or not, as the dice say: both have a range in every page. */
function startBackup(world: World, vm: GuestVm, random: Random): Promise<Run> {
  return world.api<Run>('POST', `/v1/vms/${vm.vmId}/backups`, { full: random.next() < 0.5 })
}

async function reach(world: World, { id }: Run, point: Point, reached: (run: Run) => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + REACH_MS; ; await new Promise(resolve => setTimeout(resolve, REACH_STEP_MS))) {
    const now = await world.api<Run>('GET', `/v1/runs/${id}`)
    if (await reached(now)) return
    if (now.endedAt !== null && !point.endsWith('random'))
      throw new Error(`the run ended (${now.state} ${now.reason}) before it came to ${point}`)
    if (Date.now() > deadline) throw new Error(`the run never came to ${point}: ${JSON.stringify(now)}`)
  }
}
