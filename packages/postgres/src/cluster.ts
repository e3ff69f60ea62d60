import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Account, giveTo } from './account.ts'
import { type Binaries, clusterMajor } from './binaries.ts'
import { PostgresError } from './errors.ts'
import { run } from './run.ts'

export const SUPERUSER = 'varve'

/** How programs of PostgreSQL are started: prefix (setpriv) and account. */
export interface ServerLaunch {
  readonly prefix: readonly string[]
  readonly account: Account | null
  readonly env: Readonly<Record<string, string>>
}

/** Program and options for `spawn`. With a prefix, setpriv changes the account itself. */
export function launchOf(program: string, args: readonly string[], how: ServerLaunch) {
  const [first, ...rest] = [...how.prefix, program, ...args] as [string, ...string[]]
  const as = how.account === null || how.prefix.length > 0 ? {} : { uid: how.account.uid, gid: how.account.gid }
  return { program: first, args: rest, options: { env: how.env, ...as } }
}

/**
 * Make the cluster unless it is there. It is made beside its place and renamed, so that a kill in the middle leaves none rather
 * than half of one. Locale `C.UTF-8` of the builtin provider (17 and newer): sorting never changes with the system's libraries.
 *
 * @throws PostgresError POSTGRES_VERSION, POSTGRES_INIT_FAILED
 */
export async function ensureCluster(root: string, binaries: Binaries, how: ServerLaunch): Promise<string> {
  const cluster = join(root, 'cluster')
  const major = await clusterMajor(cluster)
  if (major !== null) {
    if (major !== binaries.major) {
      throw new PostgresError('POSTGRES_VERSION', `the data in ${cluster} is of PostgreSQL ${major}, the binaries are ${binaries.major}`, {
        data: major,
        binaries: binaries.major,
      })
    }
    return cluster
  }
  const making = join(root, 'cluster.new')
  await rm(making, { recursive: true, force: true })
  await mkdir(making, { mode: 0o700 })
  if (how.account !== null) await giveTo(making, how.account)
  const locale = binaries.major >= 17 ? ['--locale-provider=builtin', '--locale=C.UTF-8'] : ['--locale=C']
  // `trust`: whoever can enter the socket's folder (0700) could read the data files as well.
  const args = ['-D', making, '-U', SUPERUSER, '--auth=trust', '--encoding=UTF8', '--data-checksums', ...locale]
  const { program, args: words, options } = launchOf(binaries.initdb, args, how)
  const { code, output } = await run(program, words, options)
  if (code !== 0) {
    throw new PostgresError('POSTGRES_INIT_FAILED', `initdb failed (${code}): ${output.trim().split('\n').slice(-6).join(' | ')}`, { code })
  }
  await rename(making, cluster)
  return cluster
}
