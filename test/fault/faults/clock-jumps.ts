import { existsSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Fault, SUCCEEDS } from '../driver/fault.ts'
import type { WorldOptions } from '../driver/world.ts'

/** Intercepts the calls that ask for the time (Debian: libfaketime). Only the clock on the wall is false, as it is when somebody sets it. */
const LIBRARY = ['/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1', '/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1'].find(
  existsSync,
)

/** Services whose clock is what a file says; servers, platform and this process have the right one. */
const FALSE_CLOCK: WorldOptions = {
  async environmentOf(folder) {
    const clock = clockOf(folder)
    await setClock(clock, '+0')
    return {
      LD_PRELOAD: LIBRARY ?? '',
      FAKETIME_TIMESTAMP_FILE: clock,
      FAKETIME_CACHE_DURATION: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      FAKETIME_DONT_RESET: '1',
    }
  },
}

function clockOf(folder: string): string {
  return join(folder, 'clock')
}

/** At once or not at all: every process reads it. */
async function setClock(clock: string, offset: string): Promise<void> {
  await writeFile(`${clock}.new`, `${offset}\n`)
  await rename(`${clock}.new`, clock)
}

const EVERYWHERE = [
  'queued',
  'before-snapshot',
  'planning',
  'before-lease',
  'first-range',
  'middle-range',
  'sealing',
  'finishing',
  'restore-queued',
  'restore-before-lease',
  'restore-middle-range',
] as const

function jumps(name: string, direction: string, offset: string): Fault {
  return {
    name,
    title: `the clock of every service jumps an hour ${direction}, and back after the run`,
    world: FALSE_CLOCK,
    where: EVERYWHERE,
    quick: ['middle-range'],
    async inject({ world }) {
      await setClock(clockOf(world.folder), offset)
      // Each process looks once a second.
      await new Promise(resolve => setTimeout(resolve, 1500))
    },
    async after({ world }) {
      await setClock(clockOf(world.folder), '+0')
      return []
    },
    expect: SUCCEEDS,
  }
}

export const clockJumps: readonly Fault[] =
  LIBRARY === undefined ? [] : [jumps('clock-ahead', 'ahead', '+1h'), jumps('clock-back', 'back', '-1h')]
