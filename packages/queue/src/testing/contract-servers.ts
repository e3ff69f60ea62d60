import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres } from '@varve/postgres'
import { freePort } from '@varve/runtime'

/** A real server of our own for the contract test, stopped and started again at will. */
export interface ContractServer {
  readonly url: string
  start(): Promise<void>
  /** SIGKILL: connections break without a word. */
  kill(): Promise<void>
  close(): Promise<void>
}

/** Redis on a free loopback port with an append-only file, or the reason why not. */
export async function redisServer(): Promise<ContractServer | string> {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore' })
  } catch {
    return 'redis-server is not installed'
  }
  const folder = await mkdtemp(join(tmpdir(), 'varve-redis-'))
  const port = await freePort()
  const args = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--dir',
    folder,
    '--appendonly',
    'yes',
    '--appendfsync',
    'always',
    '--save',
    '',
  ]
  let child: ChildProcess | undefined
  const start = async (): Promise<void> => {
    child = spawn('redis-server', args, { stdio: 'ignore' })
  }
  const kill = async (): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise(resolve => child?.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }
  await start()
  return {
    url: `redis://127.0.0.1:${port}/0`,
    start,
    kill,
    close: async () => {
      await kill()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** The embedded Postgres on a unix socket. */
export async function postgresServer(): Promise<ContractServer | string> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-queue-'))
  let running = await startPostgres({ dataDir: folder })
  const { url } = running
  return {
    url,
    start: async () => {
      running = await startPostgres({ dataDir: folder })
    },
    kill: async () => {
      process.kill(running.pid, 'SIGKILL')
      await running.close()
    },
    close: async () => {
      await running.close()
      await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
    },
  }
}
