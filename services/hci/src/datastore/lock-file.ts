import fs from 'node:fs'
import { DatastoreError } from './errors.ts'

/** Who holds a datastore: a process, told from a later one with the same pid by its start time and the machine's boot. */
interface Owner {
  readonly pid: number
  readonly started: string
  readonly bootId: string
}

/**
 * Claim a folder for this process. A lock whose process is gone is taken over.
 *
 * @returns what gives the claim back.
 * @throws DatastoreError DATASTORE_LOCKED
 */
export function lockFolder(folder: string, bootId: string): () => void {
  const path = `${folder}/datastore.lock`
  const mine = JSON.stringify({ pid: process.pid, started: startTime(process.pid) ?? '', bootId } satisfies Owner)
  for (let attempt = 0; attempt < 3; attempt++) {
    // Linked into place whole: no process ever sees a lock file without its owner in it.
    const claim = `${path}.${process.pid}`
    fs.writeFileSync(claim, mine)
    try {
      fs.linkSync(claim, path)
      return () => fs.rmSync(path, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    } finally {
      fs.rmSync(claim, { force: true })
    }
    const owner = readOwner(path)
    if (owner !== undefined && isAlive(owner, bootId)) {
      throw new DatastoreError('DATASTORE_LOCKED', `process ${owner.pid} has the datastore open`, { folder, pid: owner.pid })
    }
    fs.rmSync(path, { force: true })
  }
  throw new DatastoreError('DATASTORE_LOCKED', 'several processes try to open the datastore', { folder })
}

/** `/proc/sys/kernel/random/boot_id`: changes at each boot. Empty where there is no such file. */
export function readBootId(): string {
  try {
    return fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}

function readOwner(path: string): Owner | undefined {
  try {
    const value = JSON.parse(fs.readFileSync(path, 'utf8')) as Partial<Owner>
    return typeof value.pid === 'number' && Number.isInteger(value.pid) && value.pid > 0
      ? { pid: value.pid, started: String(value.started), bootId: String(value.bootId) }
      : undefined
  } catch {
    return undefined
  }
}

function isAlive(owner: Owner, bootId: string): boolean {
  if (owner.bootId !== bootId) return false
  try {
    process.kill(owner.pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  const started = startTime(owner.pid)
  return started === undefined || started === owner.started
}

/** Clock ticks after boot at which a process started; undefined where /proc does not tell. */
function startTime(pid: number): string | undefined {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The command name before it may hold spaces and brackets: count from the last bracket.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}
