import { expect, test } from 'vitest'
import { missingTool } from '../support/tools.ts'
import { ALL_FAULTS } from './all-faults.ts'
import { BEHIND_PROXY } from './driver/behind-proxy.ts'
import type { Fault } from './driver/fault.ts'
import { randomOf } from './driver/random.ts'
import { runFaults } from './driver/run-faults.ts'
import { findMinio } from './driver/world.ts'

/** A seeded few of the injections of `npm run faults`. The seed is in the test's name: `npm run faults -- --quick --seed N` repeats them. */

const SEED = Number(process.env.VARVE_FAULT_SEED ?? Math.floor(Math.random() * 2 ** 31))
/** Of two worlds, side by side: another start of everything is for the long run. */
const FEW = new Map([
  [undefined, 4],
  [BEHIND_PROXY, 2],
])
/** They wait for a minute or more by what they are; five minutes must do for all on a busy machine. */
const LONG = new Set([
  'site-restarted',
  'maintenance-killed',
  'snapshot-never-ends',
  'store-hangs',
  'store-late',
  'vm-occupied',
  'nbd-stall',
])

test(`faults at steps of backups and restores, seed ${SEED}`, async ctx => {
  const missing = missingTool('redis-server') ?? (findMinio() === undefined ? 'no MinIO binary; set VARVE_TEST_MINIO' : undefined)
  if (missing !== undefined) return ctx.skip(missing)
  const faults = [...FEW].flatMap(([world, few]) => chosen(world, few))
  const outcomes = await runFaults(faults, { seed: SEED, quick: true, worlds: FEW.size })
  expect(outcomes.filter(({ problems }) => problems.length > 0)).toEqual([])
  expect(outcomes).toHaveLength(faults.length)
}, 420_000)

/** Each at one of its points. */
function chosen(world: Fault['world'], few: number): Fault[] {
  const random = randomOf(SEED)
  return ALL_FAULTS.filter(fault => fault.world === world && !LONG.has(fault.name))
    .map(fault => ({ fault, key: random.next() }))
    .sort((a, b) => a.key - b.key)
    .slice(0, few)
    .map(({ fault }) => ({ ...fault, quick: [fault.quick[random.below(fault.quick.length)]!] }))
}
