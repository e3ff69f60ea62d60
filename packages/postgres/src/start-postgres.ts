import { spawn } from 'node:child_process'
import { chmod, chown, mkdir, mkdtemp, open, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Closer, type Logger, sleep } from '@varve/runtime'
import { type Account, commandAs, serverAccount } from './account.ts'
import { findBinaries } from './binaries.ts'
import { ensureCluster, launchOf, type ServerLaunch } from './cluster.ts'
import { PostgresError } from './errors.ts'
import { makeLibraryLinks } from './links.ts'
import { takeOwnership } from './owner.ts'
import { isAlive, runningServer, stopServer } from './postmaster.ts'
import { databaseUrl, ensureDatabase, type Readiness, waitUntilReady } from './readiness.ts'
import { readTextIfThere } from './run.ts'

/** Bytes of a unix socket's path, the closing 0 included (sun_path, unix(7)). */
const SOCKET_PATH_MAX = 108
const SOCKET_NAME = '/.s.PGSQL.5432'
const LOG_MAX = 8 * 1024 * 1024

export interface PostgresOptions {
  /** Folder of our own: `cluster/`, `lib/` (library links), `socket/`, `postgres.log`. Made when absent. */
  readonly dataDir: string
  readonly log?: Logger
  /** Folder with `bin/initdb` and `bin/postgres`, instead of the package or the system's. */
  readonly binaries?: string
  /** How long to wait until the server answers; recovery after a crash counts in. Default 60 s. */
  readonly startTimeoutMs?: number
}

export interface EmbeddedPostgres {
  /** Of the database `varve`, over the unix socket, for node-postgres and libpq alike. */
  readonly url: string
  /** Of the database `postgres`, to make other databases. */
  readonly adminUrl: string
  readonly pid: number
  /** The server was already running: its earlier parent was killed. */
  readonly adopted: boolean
  /** Stop the server (fast shutdown). Repeating is harmless. */
  close(): Promise<void>
}

/**
 * Start PostgreSQL on a folder, or adopt the one that still runs on it. It listens on a unix socket in a folder with mode 0700 only,
 * in a session of its own: Ctrl-C reaches us, not the server, so that others can finish before it stops.
 *
 * @throws PostgresError with the codes of errors.ts
 */
export async function startPostgres(options: PostgresOptions): Promise<EmbeddedPostgres> {
  const root = resolve(options.dataDir)
  const closer = new Closer()
  try {
    await makeRoot(root)
    const release = await takeOwnership(join(root, 'owner'))
    closer.add('ownership', release)
    const server = (await adopt(root, options, closer)) ?? (await launch(root, options, closer))
    await ensureDatabase(server.socketDir)
    return {
      url: databaseUrl(server.socketDir, 'varve'),
      adminUrl: databaseUrl(server.socketDir, 'postgres'),
      pid: server.pid,
      adopted: server.adopted,
      close: () => closer.close(),
    }
  } catch (error) {
    await closer.close().catch(() => {})
    throw error
  }
}

interface Server {
  readonly pid: number
  readonly socketDir: string
  readonly adopted: boolean
}

async function makeRoot(root: string): Promise<void> {
  try {
    await mkdir(root, { recursive: true })
  } catch (cause) {
    throw new PostgresError('POSTGRES_DATA_DIR', `cannot make the data directory ${root}`, { root }, { cause })
  }
}

async function adopt(root: string, options: PostgresOptions, closer: Closer): Promise<Server | null> {
  const running = await runningServer(join(root, 'cluster'))
  if (running === null) return null
  const { pid, socketDir } = running
  closer.add('socket folder', () => removeSocketDir(root, socketDir))
  closer.add('postgres', () => stopServer(pid, () => !isAlive(pid)))
  options.log?.info({ pid }, 'adopting the database server that was left running')
  if ((await ready(socketDir, () => !isAlive(pid), options)) === 'ready') return { pid, socketDir, adopted: true }
  // It died under our eyes: start anew.
  await removeSocketDir(root, socketDir)
  return null
}

async function launch(root: string, options: PostgresOptions, closer: Closer): Promise<Server> {
  const binaries = await findBinaries(options.binaries)
  if (binaries.source === 'system') {
    options.log?.warn({ postgres: binaries.postgres }, 'the embedded PostgreSQL package is not installed; using the one of the system')
  }
  const lib = join(root, 'lib')
  if (binaries.native !== undefined) await makeLibraryLinks(binaries.native, lib)
  const how = await howToLaunch(
    root,
    binaries.postgres,
    binaries.native === undefined ? undefined : `${lib}:${join(binaries.native, 'lib')}`,
    options.log,
  )
  const began = Date.now()
  const cluster = await ensureCluster(root, binaries, how)
  const socketDir = await makeSocketDir(root, how.account)
  closer.add('socket folder', () => removeSocketDir(root, socketDir))

  const deadline = Date.now() + (options.startTimeoutMs ?? 60_000)
  for (;;) {
    const child = await spawnServer(root, binaries.postgres, cluster, socketDir, how)
    const ended = (): boolean => child.exitCode !== null || child.signalCode !== null
    const pid = child.pid!
    const outcome = await ready(socketDir, ended, { ...options, startTimeoutMs: deadline - Date.now() })
    if (outcome === 'ready') {
      closer.add('postgres', () => (ended() ? Promise.resolve() : stopServer(pid, ended)))
      options.log?.info({ pid, ms: Date.now() - began }, 'database server is ready')
      return { pid, socketDir, adopted: false }
    }
    if (!ended()) await stopServer(pid, ended, 2000)
    const log = await logTail(root)
    // After a kill -9 of the server its children need a moment to notice and let go of the shared memory.
    if (Date.now() < deadline && /shared memory block .* still in use|lock file .* already exists/.test(log)) {
      await sleep(200)
      continue
    }
    throw new PostgresError('POSTGRES_START_FAILED', `PostgreSQL did not start (${outcome}): ${log}`, { root })
  }
}

const ready = (socketDir: string, ended: () => boolean, options: Pick<PostgresOptions, 'startTimeoutMs'>): Promise<Readiness> =>
  waitUntilReady(socketDir, ended, options.startTimeoutMs ?? 60_000)

async function howToLaunch(root: string, program: string, lib: string | undefined, log: Logger | undefined): Promise<ServerLaunch> {
  const env: Record<string, string> = {
    LC_ALL: 'C',
    TZ: 'UTC',
    PATH: '/usr/bin:/bin',
    ...(lib === undefined ? {} : { LD_LIBRARY_PATH: lib }),
  }
  const account = await serverAccount()
  if (account === null) return { account, prefix: [], env }
  // Our own folder may be passed by the account; what is in it has modes of its own.
  const { mode } = await stat(root)
  await chmod(root, mode | 0o011)
  const { prefix, widened } = await commandAs(account, [root, join(program, '..')])
  if (widened) {
    log?.warn({ account: account.name, root }, 'the database server gets the capability to pass folders that are closed to its account')
  }
  return { account, prefix, env }
}

async function makeSocketDir(root: string, account: Account | null): Promise<string> {
  const inside = join(root, 'socket')
  const fits = Buffer.byteLength(inside + SOCKET_NAME) < SOCKET_PATH_MAX
  if (fits) await mkdir(inside, { recursive: true, mode: 0o700 })
  const dir = fits ? inside : await mkdtemp(join(tmpdir().length < 60 ? tmpdir() : '/tmp', 'varve-pg-'))
  await chmod(dir, 0o700)
  if (account !== null) await chown(dir, account.uid, account.gid)
  return dir
}

/** Only a folder of our making: inside the root, or the short one in the temporary folder. */
async function removeSocketDir(root: string, dir: string): Promise<void> {
  if (dir === join(root, 'socket') || /\/varve-pg-[^/]+$/.test(dir)) await rm(dir, { recursive: true, force: true })
}

async function spawnServer(root: string, postgres: string, cluster: string, socketDir: string, how: ServerLaunch) {
  const settings: Readonly<Record<string, string>> = {
    listen_addresses: '',
    unix_socket_directories: socketDir,
    unix_socket_permissions: '0700',
    port: '5432',
    // Every process of a single machine has a pool for the catalog and one for the queue.
    max_connections: '200',
    shared_buffers: '64MB',
    max_wal_size: '256MB',
    jit: 'off',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_checkpoints: 'off',
  }
  const args = ['-D', cluster, ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`])]
  const file = join(root, 'postgres.log')
  const size = (await stat(file).catch(() => null))?.size ?? 0
  if (size > LOG_MAX) await rename(file, `${file}.1`)
  const output = await open(file, 'a', 0o600)
  try {
    const { program, args: words, options } = launchOf(postgres, args, how)
    const child = spawn(program, words, { ...options, cwd: '/', detached: true, stdio: ['ignore', output.fd, output.fd] })
    await new Promise<void>((settled, failed) => {
      child.once('spawn', settled)
      child.once('error', cause => failed(new PostgresError('POSTGRES_START_FAILED', `cannot run ${program}`, { program }, { cause })))
    })
    // The process may end without it: whoever opened it closes it.
    child.unref()
    return child
  } finally {
    await output.close()
  }
}

async function logTail(root: string): Promise<string> {
  const text = (await readTextIfThere(join(root, 'postgres.log'))) ?? ''
  return text.trim().split('\n').slice(-5).join(' | ')
}
