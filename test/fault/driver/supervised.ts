import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { httpCall } from './http-call.ts'

export interface Command {
  readonly program: string
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly logFile: string
  /** Asked until it answers with success. */
  readonly readyUrl?: string
}

// Each child is killed when this process ends without closing; so is the platform.
process.setMaxListeners(256)

const READY_MS = 240_000

/** A program that can be killed, stopped, and started again as a supervisor would: same command, same ports, same folder. */
export class Supervised {
  readonly name: string
  readonly #command: Command
  #child: ChildProcess | undefined

  constructor(name: string, command: Command) {
    this.name = name
    this.#command = command
  }

  get running(): boolean {
    const child = this.#child
    return child?.pid !== undefined && child.exitCode === null && child.signalCode === null
  }

  /** Does nothing when it runs. */
  start(): void {
    if (this.running) return
    const { program, args, env, logFile } = this.#command
    const output = openSync(logFile, 'a', 0o600)
    const child = spawn(program, args, { env, stdio: ['ignore', output, output] })
    closeSync(output)
    child.on('error', () => {})
    const killAtExit = (): void => void child.kill('SIGKILL')
    process.once('exit', killAtExit)
    child.once('exit', () => process.off('exit', killAtExit))
    this.#child = child
  }

  signal(signal: NodeJS.Signals): void {
    if (this.running) this.#child?.kill(signal)
  }

  /** Send the signal and wait for its end; one that was stopped goes on first. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child
    if (child === undefined || !this.running) return
    const ended = once(child, 'exit')
    child.kill(signal)
    child.kill('SIGCONT')
    const force = setTimeout(() => child.kill('SIGKILL'), 30_000)
    await ended
    clearTimeout(force)
  }

  async ready(): Promise<void> {
    const { readyUrl, logFile } = this.#command
    if (readyUrl === undefined) return
    for (const deadline = Date.now() + READY_MS; ; await new Promise(resolve => setTimeout(resolve, 100))) {
      const answer = await httpCall('GET', readyUrl, { timeoutMs: 5000 }).catch(() => undefined)
      // MinIO is there when it refuses a call without a login.
      if (answer?.status === 200 || answer?.status === 403) return
      if (!this.running || Date.now() > deadline) throw new Error(`${this.name} is not ready, see ${logFile}`)
    }
  }
}
