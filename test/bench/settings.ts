import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { GiB, MiB } from '@varve/runtime'

/** What the command line says. */
export interface Settings {
  /** RAM-backed where there is one. */
  readonly folder: string
  readonly diskSize: number
  readonly rounds: number
  readonly quick: boolean
  /** Undefined: all subjects. */
  readonly only: ReadonlySet<string> | undefined
  readonly peers: ReadonlySet<string>
  readonly warmGib: number
  readonly json: boolean
  readonly check: boolean
  /** Put the figures into docs/performance.md. */
  readonly write: boolean
  /** `--write` was said, not only meant. */
  readonly writeAsked: boolean
  readonly capacity: boolean
}

export const HELP = `npm run bench -- [options]

  --quick         a disk of 1 GiB, 2 rounds, fewer peers, less of everything: under 5 minutes, says where things stand
  --json          one JSON row a target: {name, target, measured, unit, met}
  --check         exit code 1 when a target is missed
  --only A,B      some subjects (names at --help)
  --rounds N      default 5
  --size-gib N    of the disk, default 4
  --peers A,B     of restic, borg, benji, kopia, virtnbdbackup; default the first four, at --quick the first two. All five at 4 GiB take more than 24 GiB of memory
  --folder DIR    default /dev/shm
  --warm-gib N    memory to touch before each phase, default 4
  --write         put the figures into docs/performance.md; by default only of a whole run
  --no-write      leave that page alone
  --capacity      no measuring: what the constants in test/bench/capacity-constants.ts mean for 100 VMs, 10,000 VMs, 1 PB
`

/** @throws TypeError for what it doesn't know */
export function readSettings(args: readonly string[]): Settings | 'help' {
  const { values } = parseArgs({
    args: [...args],
    allowNegative: true,
    options: {
      folder: { type: 'string', default: existsSync('/dev/shm') ? '/dev/shm' : '/tmp' },
      'size-gib': { type: 'string' },
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      peers: { type: 'string' },
      'warm-gib': { type: 'string' },
      json: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
      write: { type: 'boolean' },
      capacity: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return 'help'
  const { quick } = values
  const parts = [values.only, values.rounds, values['size-gib'], values.peers]
  return {
    folder: values.folder,
    // Whole MiB, so that the layout of the disk comes out even.
    diskSize: Math.round((number(values['size-gib'], quick ? 1 : 4) * GiB) / MiB) * MiB,
    rounds: Math.max(1, Math.ceil(number(values.rounds, quick ? 2 : 5))),
    quick,
    only: values.only === undefined ? undefined : new Set(values.only.split(',')),
    peers: new Set((values.peers ?? (quick ? 'restic,borg' : 'restic,borg,benji,kopia')).split(',')),
    warmGib: number(values['warm-gib'], quick ? 1 : 4),
    json: values.json,
    check: values.check,
    // Only of a whole run.
    write: values.write ?? !(quick || values.json || parts.some(part => part !== undefined)),
    writeAsked: values.write === true,
    capacity: values.capacity,
  }
}

function number(text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text)
  if (!(value >= 0)) throw new TypeError(`${text} is no number`)
  return value
}
