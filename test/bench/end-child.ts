import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/** Ask a process to end, unless it has, and wait until it did. */
export async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}
