import fs from 'node:fs'
import { DatastoreError } from './errors.ts'
import { readFull, syncFile, writeFull } from './file-io.ts'
import type { PunchHole } from './hole.ts'

/**
 * File systems bound the size of one file (ext4 with 4 KiB blocks: 16 TiB), disks reach 63 TB: a disk's bytes go into
 * `<name>`, `<name>.1`, `<name>.2` … of 8 TiB each. Nearly every disk is one plain raw file.
 */
export const SEGMENT_SIZE = 8 * 2 ** 40

const ZEROS = Buffer.alloc(1 << 20)

/** The sparse file (or files) with the bytes of one layer, addressed by disk offset. */
export class DataFile {
  readonly path: string
  size: number
  readonly #fds: number[]
  readonly #punch: PunchHole
  #dirty = new Set<number>()

  private constructor(path: string, size: number, fds: number[], punch: PunchHole) {
    this.path = path
    this.size = size
    this.#fds = fds
    this.#punch = punch
  }

  /**
   * Open it. With `adjust` what is missing is made, and lengths are brought to what follows from `size`.
   *
   * @throws DatastoreError DATASTORE_DAMAGED without `adjust`, when a file is missing or of another length.
   */
  static async open(path: string, size: number, punch: PunchHole, adjust: boolean): Promise<DataFile> {
    const file = new DataFile(path, size, [], punch)
    try {
      if (!adjust) checkLengths(path, size)
      await file.resize(size)
    } catch (error) {
      await file.close()
      throw error
    }
    return file
  }

  static paths(path: string, size: number): string[] {
    return Array.from({ length: Math.ceil(size / SEGMENT_SIZE) }, (_, i) => (i === 0 ? path : `${path}.${i}`))
  }

  async resize(size: number): Promise<void> {
    const paths = DataFile.paths(this.path, size)
    for (const [i, path] of paths.entries()) {
      this.#fds[i] ??= fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600)
      const length = segmentLength(size, i)
      if (fs.fstatSync(this.#fds[i]!).size !== length) fs.ftruncateSync(this.#fds[i]!, length)
    }
    for (const fd of this.#fds.splice(paths.length)) fs.closeSync(fd)
    // Stale bytes must not come back when the disk grows again.
    for (let i = paths.length; fs.existsSync(`${this.path}.${i}`); i++) fs.rmSync(`${this.path}.${i}`)
    this.size = size
  }

  async read(offset: number, target: Uint8Array): Promise<void> {
    for (const part of this.#parts(offset, target.length)) {
      await readFull(part.fd, target.subarray(part.from, part.to), part.position)
    }
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    for (const part of this.#parts(offset, bytes.length)) {
      this.#dirty.add(part.fd)
      await writeFull(part.fd, bytes.subarray(part.from, part.to), part.position)
    }
  }

  /** The range reads as zeros afterwards, as a hole where the file system can. */
  async zero(offset: number, length: number): Promise<void> {
    for (const part of this.#parts(offset, length)) {
      this.#dirty.add(part.fd)
      if (await this.#punch(part.fd, part.position, part.to - part.from)) continue
      for (let at = part.from; at < part.to; at += ZEROS.length) {
        await writeFull(part.fd, ZEROS.subarray(0, Math.min(ZEROS.length, part.to - at)), part.position + at - part.from)
      }
    }
  }

  /** Give the range back if that is possible; its bytes are of no use any more. */
  async discard(offset: number, length: number): Promise<void> {
    for (const part of this.#parts(offset, length)) await this.#punch(part.fd, part.position, part.to - part.from)
  }

  async sync(): Promise<void> {
    const dirty = [...this.#dirty]
    this.#dirty.clear()
    try {
      for (const fd of dirty) await syncFile(fd)
    } catch (error) {
      for (const fd of dirty) this.#dirty.add(fd)
      throw error
    }
  }

  async close(): Promise<void> {
    for (const fd of this.#fds.splice(0)) fs.closeSync(fd)
  }

  /** The range cut at segment borders; almost always one part. */
  *#parts(offset: number, length: number): Generator<{ fd: number; position: number; from: number; to: number }> {
    for (let from = 0; from < length; ) {
      const segment = Math.floor((offset + from) / SEGMENT_SIZE)
      const position = offset + from - segment * SEGMENT_SIZE
      const to = Math.min(length, from + SEGMENT_SIZE - position)
      yield { fd: this.#fds[segment]!, position, from, to }
      from = to
    }
  }
}

function segmentLength(size: number, index: number): number {
  return Math.min(SEGMENT_SIZE, size - index * SEGMENT_SIZE)
}

function checkLengths(path: string, size: number): void {
  for (const [i, segment] of DataFile.paths(path, size).entries()) {
    const length = fs.statSync(segment, { throwIfNoEntry: false })?.size
    if (length !== segmentLength(size, i)) {
      throw new DatastoreError('DATASTORE_DAMAGED', 'a data file is missing or of another length', { path: segment, length })
    }
  }
}
