import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sleep } from '@varve/runtime'
import { PostgresError } from './errors.ts'
import { readTextIfThere } from './run.ts'

/** A server that runs on a cluster, as its `postmaster.pid` tells. */
export interface RunningServer {
  readonly pid: number
  readonly socketDir: string
}

/**
 * The server that already runs on a cluster: its parent was killed, it was not. Null when there is none or the file is stale.
 * Lines of postmaster.pid: pid, data directory, start time, port, socket directory, listen address, ...
 * (PostgreSQL: src/include/utils/pidfile.h)
 */
export async function runningServer(cluster: string): Promise<RunningServer | null> {
  const text = await readTextIfThere(join(cluster, 'postmaster.pid'))
  const lines = text?.split('\n') ?? []
  const pid = Number(lines[0])
  const socketDir = lines[4]?.trim()
  if (!Number.isInteger(pid) || pid <= 1 || !socketDir) return null
  // A recycled pid must not be adopted (and later signalled): the command line has to name this very cluster.
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  const words = command.split('\0')
  if (!words[0]?.endsWith('postgres') || !words.includes(cluster)) return null
  return { pid, socketDir }
}

/** Not when it is a zombie: in a container whose first process does not reap, an orphan stays one for ever. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch {
    return false
  }
}

/**
 * SIGINT: fast shutdown, open transactions are rolled back, a checkpoint is written. After `graceMs` SIGQUIT: at once, recovery at the
 * next start.
 */
export async function stopServer(pid: number, ended: () => boolean, graceMs = 30_000): Promise<void> {
  for (const [signal, patience] of [
    ['SIGINT', graceMs],
    ['SIGQUIT', 5000],
  ] as const) {
    try {
      process.kill(pid, signal)
    } catch {
      return
    }
    const deadline = Date.now() + patience
    while (Date.now() < deadline) {
      if (ended()) return
      await sleep(10)
    }
  }
  throw new PostgresError('POSTGRES_STOP_FAILED', `PostgreSQL (pid ${pid}) did not stop`, { pid })
}
