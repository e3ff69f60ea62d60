import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chown, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sleep } from '@varve/runtime'

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
  if (!onPath('redis-server')) return 'redis-server is not installed'
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
  return server(`redis://127.0.0.1:${port}/0`, folder, () => spawn('redis-server', args, { stdio: 'ignore' }))
}

/** Postgres on a unix socket, or the reason why not. */
export async function postgresServer(): Promise<ContractServer | string> {
  const bin = ['18', '17', '16', '15', '14'].map(v => `/usr/lib/postgresql/${v}/bin`).find(dir => existsSync(join(dir, 'initdb')))
  if (bin === undefined) return 'PostgreSQL is not installed'
  const folder = await mkdtemp(join(tmpdir(), 'varve-pg-'))
  const owner = process.getuid?.() === 0 ? { uid: idOf('-u'), gid: idOf('-g') } : {}
  if (owner.uid !== undefined) await chown(folder, owner.uid, owner.gid)
  const data = join(folder, 'data')
  execFileSync(join(bin, 'initdb'), ['-D', data, '-U', 'varve', '-A', 'trust', '-E', 'UTF8', '--locale', 'C', '--no-sync'], {
    ...owner,
    cwd: folder,
    stdio: 'ignore',
  })
  const args = ['-D', data, '-k', folder, '-c', 'listen_addresses=']
  return server(`postgres://varve@/postgres?host=${folder}`, folder, () =>
    spawn(join(bin, 'postgres'), args, { ...owner, cwd: folder, stdio: 'ignore' }),
  )
}

async function server(url: string, folder: string, run: () => ChildProcess): Promise<ContractServer> {
  let child: ChildProcess | undefined
  const kill = async (): Promise<void> => {
    const dying = child
    child = undefined
    if (dying === undefined || dying.exitCode !== null || dying.signalCode !== null) return
    const gone = new Promise(resolve => dying.once('exit', resolve))
    dying.kill('SIGKILL')
    await gone
  }
  const start = async (): Promise<void> => {
    child = run()
    // Orphans of a killed postmaster hold its shared memory for a moment; it then refuses and must be started again.
    for (let i = 0; i < 50; i++) {
      await sleep(100)
      if (child.exitCode === null) return
      child = run()
    }
    throw new Error('the server does not start')
  }
  await start()
  return {
    url,
    start,
    kill,
    close: async () => {
      await kill()
      await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
    },
  }
}

function onPath(program: string): boolean {
  return (process.env.PATH ?? '').split(':').some(dir => existsSync(join(dir, program)))
}

function idOf(flag: '-u' | '-g'): number {
  return Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
