import { expect, test } from 'vitest'
import { missingTool } from '../support/tools.ts'
import { ALL_FAULTS } from './all-faults.ts'
import { randomOf } from './driver/random.ts'
import { runFaults } from './driver/run-faults.ts'
import { findMinio } from './driver/world.ts'

/** A seeded few of the injections of `npm run faults`. The seed is in the test's name: `npm run faults -- --quick --seed N` repeats them. */

const SEED = Number(process.env.VARVE_FAULT_SEED ?? Math.floor(Math.random() * 2 ** 31))
/** Short ones: five minutes must do on a busy machine. */
const CANDIDATES = new Set(['catalog-killed', 'block-reader-killed', 'snapshot-paused'])
const FEW = 2

test(`faults at steps of backups and restores, seed ${SEED}`, async ctx => {
  const missing = missingTool('redis-server') ?? (findMinio() === undefined ? 'no MinIO binary; set VARVE_TEST_MINIO' : undefined)
  if (missing !== undefined) return ctx.skip(missing)
  const random = randomOf(SEED)
  // Of one world only: another start of everything is for the long run.
  const faults = ALL_FAULTS.filter(({ name }) => CANDIDATES.has(name))
    .map(fault => ({ fault, key: random.next() }))
    .sort((a, b) => a.key - b.key)
    .slice(0, FEW)
    .map(({ fault }) => ({ ...fault, quick: [fault.quick[random.below(fault.quick.length)]!] }))
  const outcomes = await runFaults(faults, { seed: SEED, quick: true })
  expect(outcomes.filter(({ problems }) => problems.length > 0)).toEqual([])
  expect(outcomes).toHaveLength(FEW)
}, 300_000)
