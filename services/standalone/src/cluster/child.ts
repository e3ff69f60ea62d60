import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import type { Closer } from '@varve/runtime'

export interface ChildOptions {
  readonly name: string
  readonly program: string
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  /** Where its output goes; default: to ours. */
  readonly logFile?: string | undefined
  readonly closer: Closer
}

/**
 * Start a program as a child that the closer ends with SIGTERM. In a process group of its own: Ctrl-C reaches us, and we end them in order. Should
 * this process end without closing, they are killed.
 */
export function startChild({ name, program, args, env, logFile, closer }: ChildOptions): ChildProcess {
  const output = logFile === undefined ? undefined : openSync(logFile, 'a', 0o600)
  const child = spawn(program, args, { env, detached: true, stdio: ['ignore', output ?? 'inherit', output ?? 'inherit'] })
  if (output !== undefined) closeSync(output)
  // A program that can't be started has no pid; its end is seen like any other.
  child.on('error', () => {})
  const killAtExit = (): void => void child.kill('SIGKILL')
  process.once('exit', killAtExit)
  child.once('exit', () => process.off('exit', killAtExit))
  closer.add(name, async () => {
    if (hasEnded(child)) return
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    // One that was stopped (SIGSTOP) hears of it only when it goes on.
    child.kill('SIGCONT')
    await ended
  })
  return child
}

export function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null
}
