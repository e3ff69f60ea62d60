import { parseArgs } from 'node:util'
import { ALL_FAULTS } from './all-faults.ts'
import { runFaults } from './driver/run-faults.ts'
import { findMinio } from './driver/world.ts'
import { recordOutcomes } from './record.ts'

const USAGE = `npm run faults -- [--quick] [--only NAME]... [--seed N] [--worlds N] [--json] [--list]

Runs backups and restores of a whole installation on this machine and breaks it at every step: kills, stops, restarts, servers that are away or empty.
After each: all restore points byte for byte, the checker, leaks on the platform and in the bucket, state and reason of the run.
What comes of every injection is kept in test/fault/record.jsonl, of which docs/faults.md is made. Exit code 1 when any outcome is not as the table says.

  --quick       one or two injections a fault; keeps nothing
  --only NAME   only this fault (repeat it for several); the others' rows stay as they are
  --seed N      repeat a run: the same data and the same random times
  --worlds N    so many installations beside each other, 1 to 8 (default 5): most of a fault's time is waiting
  --json        one line of JSON for each injection
  --list        names of the faults`

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    seed: { type: 'string' },
    worlds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

// Ended from outside, it leaves nothing running.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130))

// Whatever was left by a world that could not be closed is killed at exit.
process.exit(await main())

async function main(): Promise<number> {
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  if (values.list) {
    for (const { name, title } of ALL_FAULTS) console.log(`${name.padEnd(32)} ${title}`)
    return 0
  }
  const unknown = values.only?.find(name => !ALL_FAULTS.some(fault => fault.name === name))
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed)
  const worlds = Number(values.worlds)
  if (!Number.isInteger(worlds) || worlds < 1 || worlds > 8) {
    console.error('--worlds is a whole number from 1 to 8')
    return 2
  }
  if (unknown !== undefined || !Number.isSafeInteger(seed) || seed < 0) {
    console.error(unknown === undefined ? '--seed is a whole number' : `no fault is called ${unknown}; --list names them`)
    return 2
  }
  if (findMinio() === undefined) {
    console.error('MinIO is missing: infra/scripts/install-test-tools.sh installs it')
    return 2
  }
  const faults = ALL_FAULTS.filter(({ name }) => values.only === undefined || values.only.includes(name))
  if (!values.json) console.log(`seed ${seed}, ${faults.length} faults`)
  const began = Date.now()
  const outcomes = await runFaults(faults, {
    seed,
    quick: values.quick,
    worlds,
    onOutcome: outcome => {
      if (values.json) return console.log(JSON.stringify({ seed, ...outcome }))
      const { fault, point, state, reason, recoverMs, problems } = outcome
      console.log(
        `${problems.length === 0 ? 'ok  ' : 'BAD '} ${fault.padEnd(28)} ${point.padEnd(22)} ${state} ${reason ?? ''} ${(recoverMs / 1000).toFixed(1)} s`,
      )
      for (const problem of problems) console.log(`       ${problem}`)
    },
  })
  if (!values.quick) await recordOutcomes(ALL_FAULTS, faults, outcomes, seed)
  const bad = outcomes.filter(({ problems }) => problems.length > 0).length
  if (!values.json)
    console.log(
      `${outcomes.length} injections, ${bad} not as the table says, ${((Date.now() - began) / 60_000).toFixed(1)} min, seed ${seed}`,
    )
  return bad === 0 ? 0 : 1
}
