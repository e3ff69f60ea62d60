import { closeSync, fsyncSync, ftruncateSync, lstatSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { isZero } from '@varve/repository'
import { CliError } from '../errors.ts'

/** Zeros of this size and alignment inside a block become holes too. */
const GRAIN = 64 * 1024

/**
 * The file that a disk is extracted to. It grows beside its name as `FILE.partial` and takes the name only when it is whole and
 * synced; what is never written is a hole.
 */
export class SparseFile {
  readonly partial: string
  readonly #path: string
  readonly #fd: number

  private constructor(path: string, fd: number) {
    this.#path = path
    this.partial = `${path}.partial`
    this.#fd = fd
  }

  /** @throws CliError OUTPUT_EXISTS, OUTPUT_FAILED */
  static create(name: string, size: number, force: boolean): SparseFile {
    const path = resolve(name)
    const there = lstatSync(path, { throwIfNoEntry: false })
    if (there !== undefined && !there.isFile()) {
      throw new CliError('OUTPUT_EXISTS', `${name} is there and no plain file; for a device use: varve extract … -o - | dd of=DEVICE bs=1M`)
    }
    if (there !== undefined && !force) throw new CliError('OUTPUT_EXISTS', `${name} is there already`)
    return attempt(`${path}.partial`, () => {
      const fd = openSync(`${path}.partial`, 'w', 0o600)
      ftruncateSync(fd, size)
      return new SparseFile(path, fd)
    })
  }

  /** Sync it and give it its name. */
  finish(): void {
    attempt(this.#path, () => {
      fsyncSync(this.#fd)
      closeSync(this.#fd)
      renameSync(this.partial, this.#path)
      const folder = openSync(dirname(this.#path), 'r')
      fsyncSync(folder)
      closeSync(folder)
    })
  }

  /** Leave nothing behind. */
  abandon(): void {
    try {
      closeSync(this.#fd)
    } catch {
      // Closed by `finish` already.
    }
    rmSync(this.partial, { force: true })
  }
}

/** Writes blocks into a file that is there; each thread has its own. */
export function openWriter(path: string): { write(offset: number, bytes: Uint8Array): void; close(): void } {
  const fd = attempt(path, () => openSync(path, 'r+'))
  return {
    write(offset, bytes) {
      for (const [start, end] of dataRuns(bytes)) {
        for (let done = start; done < end; ) done += attempt(path, () => writeSync(fd, bytes, done, end - done, offset + done))
      }
    },
    close: () => closeSync(fd),
  }
}

/** The parts of a block that are not whole grains of zeros. */
export function dataRuns(bytes: Uint8Array): [start: number, end: number][] {
  const runs: [number, number][] = []
  for (let at = 0; at < bytes.length; at += GRAIN) {
    const end = Math.min(bytes.length, at + GRAIN)
    if (isZero(bytes.subarray(at, end))) continue
    const last = runs.at(-1)
    if (last?.[1] === at) last[1] = end
    else runs.push([at, end])
  }
  return runs
}

function attempt<T>(path: string, act: () => T): T {
  try {
    return act()
  } catch (cause) {
    throw new CliError('OUTPUT_FAILED', `${path}: ${(cause as Error).message}`, {}, { cause })
  }
}
