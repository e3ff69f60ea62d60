import { execFile } from 'node:child_process'
import { chown, lchown, readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { PostgresError } from './errors.ts'
import { readTextIfThere } from './run.ts'

/** The account that PostgreSQL runs as when we are root, which it refuses to be. */
export interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/**
 * Null: we are not root, run as ourselves. Otherwise `postgres`, or `nobody`. The uid must have a passwd entry: initdb looks it up.
 *
 * @throws PostgresError POSTGRES_ACCOUNT
 */
export async function serverAccount(): Promise<Account | null> {
  const uid = process.getuid?.()
  const passwd = (await readTextIfThere('/etc/passwd')) ?? ''
  const entries = passwd.split('\n').map(line => line.split(':'))
  if (uid !== 0) return null
  for (const wanted of ['postgres', 'nobody']) {
    const entry = entries.find(([name]) => name === wanted)
    if (entry !== undefined) return { name: wanted, uid: Number(entry[2]), gid: Number(entry[3]) }
  }
  throw new PostgresError('POSTGRES_ACCOUNT', 'running as root, and neither `postgres` nor `nobody` is in /etc/passwd')
}

/** Can a foreign account pass through every folder above and including the path? Asked as the mode bits say it: others' execute bit. */
export async function reachable(path: string, account: Account): Promise<boolean> {
  for (let folder = path; ; folder = dirname(folder)) {
    const { mode, uid, gid } = await stat(folder)
    const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001
    if ((mode & bit) === 0) return false
    if (dirname(folder) === folder) return true
  }
}

/**
 * The command that starts a program as the account. Root's own folders (`/root` is 0700) are closed to it; when a path it needs lies in one, the
 * account keeps the one capability to pass (CAP_DAC_OVERRIDE), by `setpriv` of util-linux. `no_setuid_fixup` because initdb asks access(2) about
 * its programs, which ignores a non-root user's capabilities without it; the exec then leaves no other capability.
 *
 * @throws PostgresError POSTGRES_DATA_DIR when that is needed and cannot be had.
 */
export async function commandAs(account: Account, paths: readonly string[]): Promise<{ prefix: readonly string[]; widened: boolean }> {
  const open = await Promise.all(paths.map(path => reachable(path, account)))
  if (open.every(Boolean)) return { prefix: [], widened: false }
  const prefix = [
    'setpriv',
    `--reuid=${account.uid}`,
    `--regid=${account.gid}`,
    '--clear-groups',
    '--securebits=+no_setuid_fixup',
    '--inh-caps=-all,+dac_override',
    '--ambient-caps=-all,+dac_override',
    '--',
  ]
  try {
    await promisify(execFile)(prefix[0]!, [...prefix.slice(1), 'true'])
  } catch (cause) {
    const closed = paths.filter((_, i) => !open[i])
    throw new PostgresError(
      'POSTGRES_DATA_DIR',
      `PostgreSQL runs as \`${account.name}\` here (it refuses root), which cannot enter ${closed.join(' nor ')}; choose a place outside of it`,
      { paths: closed },
      { cause },
    )
  }
  return { prefix, widened: true }
}

/** Give a folder and all in it to the account. */
export async function giveTo(path: string, account: Account): Promise<void> {
  await chown(path, account.uid, account.gid)
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const child = join(path, entry.name)
    if (entry.isDirectory()) await giveTo(child, account)
    else await lchown(child, account.uid, account.gid)
  }
}
