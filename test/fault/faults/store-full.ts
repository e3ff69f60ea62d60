import { execFile } from 'node:child_process'
import { mkdir, open, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Fault } from '../driver/fault.ts'
import type { WorldOptions } from '../driver/world.ts'

const run = promisify(execFile)
const MiB = 1024 * 1024
const SIZE = 512 * MiB

/** A directory repository on a file system of its own (a file-backed ext4 would need a loop device; a tmpfs is as full when it is full). */
const ON_SMALL_DISK: WorldOptions = {
  async repository(folder) {
    const mount = mountOf(folder)
    await mkdir(mount)
    await run('mount', ['-t', 'tmpfs', '-o', `size=${SIZE}`, 'tmpfs', mount])
    return { url: `file://${join(mount, 'repository')}`, close: () => run('umount', ['-l', mount]).then(() => {}) }
  },
}

const full: Fault = {
  name: 'store-full',
  title: 'directory repository: the disk is full until the run has ended',
  world: ON_SMALL_DISK,
  where: ['before-lease', 'first-range', 'middle-range'],
  quick: ['middle-range'],
  async inject({ world }) {
    const mount = mountOf(world.folder)
    const { bavail, bsize } = await statfs(mount)
    const file = await open(fillerOf(mount), 'w')
    try {
      for (let left = bavail * bsize; left > 0; left -= MiB) await file.write(Buffer.alloc(Math.min(MiB, left), 1))
    } catch (error) {
      // The workers took the rest meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    } finally {
      await file.close()
    }
  },
  async heal() {},
  async after({ world }) {
    await rm(fillerOf(mountOf(world.folder)))
    return []
  },
  // A random time may be after the last byte.
  expect: [
    { state: 'failed', reason: 'STORE_FULL' },
    { state: 'succeeded', reason: null },
  ],
}

function mountOf(folder: string): string {
  return join(folder, 'small')
}

function fillerOf(folder: string): string {
  return join(folder, 'filler')
}

/** Only root may mount. */
export const storeFull: readonly Fault[] = process.getuid?.() === 0 ? [full] : []
