import { randomBytes } from 'node:crypto'
import type { Dirent } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { RepositoryError } from '../errors.ts'
import { checkKey } from '../keys.ts'
import {
  type ByteRange,
  type GetOptions,
  MAX_OBJECT_LENGTH,
  type Store,
  type StoredObject,
  type UnfinishedWrite,
  type UnfinishedWrites,
} from '../store.ts'
import { fileError } from './file-errors.ts'
import { withTimeLimit } from './time-limit.ts'

/** Holds files being written; names that start with a dot are no keys, so a listing never shows them. */
const TEMP = '.tmp'
/** A write that takes longer than this is given up, so what it left can go. */
const STALE_MS = 24 * 3600 * 1000

/**
 * A store in a directory, local or mounted. `put` writes a temporary file, syncs it, renames it and syncs its folder: after
 * a crash the object is whole or absent. A file system that is unmounted under us is an error: neither are its objects
 * called absent, nor is a new repository begun on the disk below it.
 */
export class DirectoryStore implements Store {
  readonly url: string
  readonly #root: string
  /** Milliseconds that one call may take. */
  readonly #timeLimit: number
  /** Device and inode of the directory as it was opened. */
  readonly #identity: string
  /** Folders known to exist and to be synced into their parents. */
  readonly #folders = new Set<string>()

  private constructor(root: string, identity: string, timeLimit: number) {
    this.#root = root
    this.#identity = identity
    this.#timeLimit = timeLimit
    this.url = `file://${root}`
    this.#folders.add(root)
  }

  static async open(root: string, timeLimit: number): Promise<DirectoryStore> {
    try {
      await mkdir(root, { recursive: true })
      const store = new DirectoryStore(root, await identityOf(root), timeLimit)
      await store.#dropStaleTemps()
      return store
    } catch (error) {
      const failure = fileError(error, `opening ${root}`, { root })
      if (failure.code !== 'OBJECT_NOT_FOUND') throw failure
      throw new RepositoryError('STORE_URL_INVALID', `${root} is not a directory and cannot be made one`, { root }, { cause: error })
    }
  }

  async put(key: string, bytes: Uint8Array, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await withTimeLimit(this.#timeLimit, `writing ${key}`, options.signal, () => this.#put(key, bytes, options))
  }

  async #put(key: string, bytes: Uint8Array, options: { readonly signal?: AbortSignal }): Promise<void> {
    const path = join(this.#root, checkKey(key))
    const folder = dirname(path)
    const temp = join(this.#root, TEMP, randomBytes(12).toString('hex'))
    try {
      await this.#ensureFolder(join(this.#root, TEMP))
      await this.#ensureFolder(folder)
      await writeSynced(temp, bytes)
      options.signal?.throwIfAborted()
      await rename(temp, path)
      await syncFolder(folder)
    } catch (error) {
      // The folder may have been removed by another process collecting garbage: look again next time.
      this.#folders.clear()
      this.#folders.add(this.#root)
      await rm(temp, { force: true }).catch(() => {})
      if (options.signal?.aborted) throw options.signal.reason
      const failure = fileError(error, `writing ${key}`, { key })
      throw failure.code === 'OBJECT_NOT_FOUND'
        ? new RepositoryError('STORE_UNAVAILABLE', failure.message, { key }, { cause: error })
        : failure
    }
  }

  async get(key: string, range?: ByteRange, options: GetOptions = {}): Promise<Uint8Array> {
    return withTimeLimit(this.#timeLimit, `reading ${key}`, options.signal, () => this.#get(key, range, options))
  }

  async #get(key: string, range: ByteRange | undefined, options: GetOptions): Promise<Uint8Array> {
    try {
      const file = await open(join(this.#root, checkKey(key)), 'r')
      try {
        const info = await file.stat()
        if (!info.isFile()) throw new RepositoryError('OBJECT_NOT_FOUND', `${key} is not in the store`, { key })
        const { offset, length } = range ?? { offset: 0, length: info.size }
        if (offset + length > info.size)
          throw new RepositoryError('RANGE_INVALID', `${key} ends before the range asked for`, { key, offset, length })
        if (range === undefined && length > (options.maxLength ?? MAX_OBJECT_LENGTH)) {
          throw new RepositoryError('OBJECT_TOO_LARGE', `${key} has ${length} bytes`, { key, length })
        }
        const { into } = options
        const bytes = into !== undefined && length <= into.length ? into.subarray(0, length) : Buffer.allocUnsafeSlow(length)
        let done = 0
        while (done < length) {
          options.signal?.throwIfAborted()
          const { bytesRead } = await file.read(bytes, done, length - done, offset + done)
          if (bytesRead === 0) throw new RepositoryError('STORE_TRUNCATED', `${key} became shorter while it was read`, { key })
          done += bytesRead
        }
        return bytes
      } finally {
        await file.close()
      }
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason
      const failure = fileError(error, `reading ${key}`, { key })
      if (failure.code === 'OBJECT_NOT_FOUND') await this.#checkRoot()
      throw failure
    }
  }

  async *list(prefix: string, options: { readonly signal?: AbortSignal } = {}): AsyncIterable<StoredObject> {
    // Descend only from the last whole folder of the prefix.
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1)
    if (folder !== '') checkKey(folder.slice(0, -1))
    yield* this.#walk(folder, prefix, options.signal)
  }

  async *#walk(folder: string, prefix: string, signal: AbortSignal | undefined): AsyncIterable<StoredObject> {
    signal?.throwIfAborted()
    let entries: Dirent[]
    try {
      const path = join(this.#root, folder)
      entries = await withTimeLimit(this.#timeLimit, `listing ${folder}`, signal, () => readdir(path, { withFileTypes: true }))
    } catch (error) {
      signal?.throwIfAborted()
      const failure = fileError(error, `listing ${folder}`, { folder })
      if (failure.code !== 'OBJECT_NOT_FOUND') throw failure
      await this.#checkRoot()
      return
    }
    for (const entry of entries) {
      const key = folder + entry.name
      if (entry.name.startsWith('.')) continue
      if (entry.isDirectory()) {
        if (`${key}/`.startsWith(prefix) || prefix.startsWith(`${key}/`)) yield* this.#walk(`${key}/`, prefix, signal)
      } else if (entry.isFile() && key.startsWith(prefix)) {
        const info = await stat(join(this.#root, key)).then(
          found => found,
          () => undefined,
        )
        if (info !== undefined) yield { key, size: info.size, putAt: info.mtimeMs }
      }
    }
  }

  async delete(keys: readonly string[], options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    for (const key of keys) {
      options.signal?.throwIfAborted()
      try {
        const path = join(this.#root, checkKey(key))
        await withTimeLimit(this.#timeLimit, `deleting ${key}`, options.signal, () => rm(path, { force: true }))
      } catch (error) {
        options.signal?.throwIfAborted()
        throw fileError(error, `deleting ${key}`, { key })
      }
    }
  }

  get unfinished(): UnfinishedWrites {
    return {
      kind: 'file',
      list: ({ signal } = {}) => this.#temps(signal),
      drop: ({ id }) => rm(join(this.#root, TEMP, basename(id)), { force: true }),
    }
  }

  async *#temps(signal: AbortSignal | undefined): AsyncIterable<UnfinishedWrite> {
    for (const id of await readdir(join(this.#root, TEMP)).catch(() => [])) {
      signal?.throwIfAborted()
      const info = await stat(join(this.#root, TEMP, id)).catch(() => undefined)
      if (info !== undefined) yield { id, key: `${TEMP}/${id}`, begunAt: info.mtimeMs }
    }
  }

  async close(): Promise<void> {}

  async #ensureFolder(folder: string): Promise<void> {
    if (this.#folders.has(folder)) return
    const parent = dirname(folder)
    await this.#ensureFolder(parent)
    await this.#checkRoot()
    try {
      await mkdir(folder)
      await syncFolder(parent)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    this.#folders.add(folder)
  }

  /** Is it still the directory that was opened? Else what is absent says nothing, and nothing may be written. */
  async #checkRoot(): Promise<void> {
    const identity = await identityOf(this.#root).catch(() => 'absent')
    if (identity !== this.#identity) throw new RepositoryError('STORE_UNAVAILABLE', `${this.#root} is gone or no longer mounted`)
  }

  async #dropStaleTemps(): Promise<void> {
    try {
      for (const name of await readdir(join(this.#root, TEMP))) {
        const path = join(this.#root, TEMP, name)
        if (Date.now() - (await stat(path)).mtimeMs > STALE_MS) await rm(path, { force: true })
      }
    } catch {
      // Absent, or not ours to clean: nothing depends on it.
    }
  }
}

async function identityOf(path: string): Promise<string> {
  const { dev, ino } = await stat(path)
  return `${dev}:${ino}`
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    let done = 0
    while (done < bytes.length) done += (await file.write(bytes, done)).bytesWritten
    await file.sync()
  } finally {
    await file.close()
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
