import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { StandaloneError } from './errors.ts'

/** What the CLI reads to find a running Varve: `<home>/standalone.json`. */
export interface StandaloneState {
  readonly apiUrl: string
  readonly token: string
  readonly pid: number
}

/**
 * The home folder of a Varve on one machine: database, repository, token, and the state file while it runs. Only one process may
 * have it; a state file whose process is dead (kill -9) is taken over.
 */
export class Home {
  readonly folder: string
  readonly #stateFile: string

  constructor(folder: string) {
    this.folder = resolve(folder)
    this.#stateFile = join(this.folder, 'standalone.json')
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  /** @throws StandaloneError ALREADY_RUNNING */
  async claim(): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o755 })
    const state = await this.readState()
    if (state !== undefined && state.pid !== process.pid && isVarve(state.pid)) {
      throw new StandaloneError('ALREADY_RUNNING', `Varve already runs in ${this.folder} (pid ${state.pid}, ${state.apiUrl})`, {
        pid: state.pid,
      })
    }
  }

  async readState(): Promise<StandaloneState | undefined> {
    try {
      return JSON.parse(await readFile(this.#stateFile, 'utf8')) as StandaloneState
    } catch {
      return undefined
    }
  }

  async writeState(state: StandaloneState): Promise<void> {
    await writeFile(`${this.#stateFile}.new`, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 })
    await rename(`${this.#stateFile}.new`, this.#stateFile)
  }

  async removeState(): Promise<void> {
    await rm(this.#stateFile, { force: true })
  }

  /** A secret that is made once and then stays: the API token, so that scripts and bookmarks survive a restart. */
  async secret(name: string): Promise<string> {
    const file = join(this.folder, name)
    try {
      return (await readFile(file, 'utf8')).trim()
    } catch {
      const value = randomBytes(24).toString('base64url')
      await writeFile(file, `${value}\n`, { mode: 0o600 })
      return value
    }
  }
}

/** Is this pid alive and a Node process? A pid may have been given to another program since. */
function isVarve(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('node')
  } catch {
    return true
  }
}
