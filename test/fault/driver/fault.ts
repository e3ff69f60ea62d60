import type { Run } from '@varve/catalog-client'
import type { Point } from './points.ts'
import type { Random } from './random.ts'
import type { GuestVm } from './vm.ts'
import type { World, WorldOptions } from './world.ts'

export interface Injection {
  readonly world: World
  readonly vm: GuestVm
  readonly run: Run
  readonly point: Point
  readonly random: Random
}

/** One kind of thing that goes wrong. One file each, named for it. */
export interface Fault {
  /** As in `--only`, and the name of its file. */
  readonly name: string
  /** A line of the table. */
  readonly title: string
  readonly world?: WorldOptions
  /** Steps at which it is injected; and random times besides. */
  readonly where: readonly Point[]
  /** At a random time the platform would refuse to make it: the VM has a snapshot, or is held. */
  readonly notAtRandom?: boolean
  /** The one or two of `where` that the quick run takes. */
  readonly quick: readonly Point[]
  /** Bytes a second of each NBD connection while a range is held (default: as `armPoint` has it). */
  readonly slowTo?: number
  /** Make it happen. What it started it also ends, or leaves to `heal`. */
  inject(injection: Injection): Promise<void>
  /** Make the world whole again, before the run's end is waited for. Default: every process is started that does not run. */
  heal?(injection: Injection): Promise<void>
  /** Once the run has ended: was anything done wrong at all? Asked before `after`; absent: surely. Where not, the same is tried again. */
  struck?(injection: Injection): Promise<boolean>
  /** Once the run has ended and every process runs: take away what `heal` left, and say what else is not as it should be. */
  after?(injection: Injection & { readonly run: Run }): Promise<readonly string[]>
  /** How the run may end: states with their reasons (null: none). */
  readonly expect: readonly { readonly state: string; readonly reason: string | null }[]
  /** The longest a run may take to end after the injection, ms (default 120 s). */
  readonly limitMs?: number
}

export const SUCCEEDS = [{ state: 'succeeded', reason: null }] as const
