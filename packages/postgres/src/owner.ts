import { randomUUID } from 'node:crypto'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { PostgresError } from './errors.ts'
import { readTextIfThere } from './run.ts'

/**
 * Which Node process answers for the data directory: `<pid> <its start, as the kernel counts> <boot id>`. It lets a new process adopt a server whose
 * parent was killed, and keeps it from taking the server of a parent that lives. The start tells a recycled pid from the same process.
 */
export async function takeOwnership(file: string): Promise<() => Promise<void>> {
  const before = await readTextIfThere(file)
  if (before !== null && (await alive(before))) {
    throw new PostgresError('POSTGRES_IN_USE', `the database directory belongs to running process ${before.split(' ')[0]}`, { file })
  }
  const mine = `${await identity(process.pid)}\n`
  const next = `${file}.${randomUUID()}`
  await writeFile(next, mine)
  await rename(next, file)
  return () => rm(file, { force: true })
}

async function alive(line: string): Promise<boolean> {
  const pid = Number(line.split(' ')[0])
  return Number.isInteger(pid) && pid > 0 && (await identity(pid)) === line.trim()
}

async function identity(pid: number): Promise<string | null> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    // Field 22 (starttime) counted after the name, which may hold spaces and brackets.
    const start = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
    return `${pid} ${start} ${boot}`
  } catch {
    return null
  }
}
