import type { Run } from '@varve/catalog-client'
import { type Fault, type Injection, SUCCEEDS } from '../driver/fault.ts'
import { endOf } from '../driver/run-end.ts'
import { clearScripts, script } from '../driver/scripted.ts'
import { knownPoint } from '../driver/stored-points.ts'
import { type GuestVm, makeVm, type VmTruth } from '../driver/vm.ts'
import { problemsOf } from '../driver/whole.ts'
import type { World, WorldOptions } from '../driver/world.ts'

const OTHERS = 9
const LIMIT_MS = 240_000
/** Of each connection until the queue is flushed: the first is not done before the last has begun. */
const CRAWL_BYTES = 256 * 1024
/** Twenty disks are open at once; ten of one datastore are by default. */
const ENOUGH = { openDisksPerHost: 32, openDisksPerDatastore: 32 }
/** A world of its own: its VMs would be in the way of the other faults. */
const TEN: WorldOptions = {}

interface Other {
  readonly vm: GuestVm
  readonly truth: VmTruth
  readonly run: Run
}

/** By world, so that the VMs are made once. */
const othersOf = new WeakMap<World, GuestVm[]>()
const runsOf = new WeakMap<World, Other[]>()

async function startOthers({ world, random }: Injection): Promise<Other[]> {
  const vms = othersOf.get(world) ?? []
  othersOf.set(world, vms)
  while (vms.length < OTHERS) vms.push(await makeVm(world, `other-${vms.length + 1}`))
  const others: Other[] = []
  for (const vm of vms) {
    await vm.change(random)
    const run = await world.api<Run>('POST', `/v1/vms/${vm.vmId}/backups`, { full: true })
    others.push({ vm, truth: vm.truth(), run })
  }
  return others
}

/** All of them, so that the queue holds ranges and steps of every run when it is emptied. */
async function areCopying(world: World, others: readonly Other[]): Promise<void> {
  for (const deadline = Date.now() + LIMIT_MS; ; await new Promise(resolve => setTimeout(resolve, 20))) {
    const runs = await Promise.all(others.map(({ run }) => world.api<Run>('GET', `/v1/runs/${run.id}`)))
    const ended = runs.find(run => run.endedAt !== null)
    if (ended !== undefined) throw new Error(`run ${ended.id} ended before the ten were together: ${ended.state} ${ended.reason}`)
    if (runs.every(({ state }) => state === 'copying')) return
    if (Date.now() > deadline) throw new Error(`the ten runs were never together: ${runs.map(({ state }) => state).join(', ')}`)
  }
}

export const flushedInTenRuns: Fault = {
  name: 'redis-flushed-in-ten-runs',
  title: 'FLUSHALL while ten runs are copying: all ten succeed',
  world: TEN,
  where: ['first-range', 'restore-first-range'],
  quick: ['first-range'],
  async inject(injection) {
    const { world } = injection
    await clearScripts(world)
    await script(world, { kind: 'nbd', params: { mode: 'slow', bytes_per_second: CRAWL_BYTES } })
    await world.api('PATCH', `/v1/platforms/${world.platformId}`, { limits: ENOUGH })
    const others = await startOthers(injection)
    runsOf.set(world, others)
    await areCopying(world, others)
    const answer = await world.redisCommand('FLUSHALL')
    if (answer !== '+OK') throw new Error(`FLUSHALL: ${answer}`)
  },
  async after({ world }) {
    const problems: string[] = []
    for (const { vm, truth, run: started } of runsOf.get(world) ?? []) {
      const run = await endOf(world, started, LIMIT_MS)
      if (run.state !== 'succeeded' || run.restorePointId === null) {
        problems.push(`the run of ${vm.name} is ${run.state} (${run.reason}: ${run.message})`)
        continue
      }
      world.points.push(await knownPoint(world, run.restorePointId, truth))
    }
    return [...problems, ...(await problemsOf(world, othersOf.get(world) ?? [], world.points.slice(-OTHERS)))]
  },
  expect: SUCCEEDS,
}
