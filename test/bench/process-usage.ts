import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

/* What processes used, from /proc (Linux). */

/** Clock ticks of /proc/PID/stat a second; the same on every Linux that Node runs on. */
const TICKS = 100

interface Stat {
  readonly pid: number
  readonly parent: number
  readonly name: string
  /** Seconds of the process, and of its children that have ended. */
  readonly own: number
  readonly ended: number
}

function readStat(pid: number | 'self'): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name is in brackets and may hold blanks.
    const rest = text.slice(text.lastIndexOf(')') + 2).split(' ')
    const ticks = (at: number): number => Number(rest[at]) / TICKS
    const name = text.slice(text.indexOf('(') + 1, text.lastIndexOf(')'))
    return { pid: Number.parseInt(text, 10), parent: Number(rest[1]), name, own: ticks(11) + ticks(12), ended: ticks(13) + ticks(14) }
  } catch {
    return undefined
  }
}

/** A process and all its descendants that live. */
function tree(pid: number): Stat[] {
  const all = readdirSync('/proc')
    .filter(entry => /^\d+$/.test(entry))
    .map(entry => readStat(Number(entry)))
    .filter(stat => stat !== undefined)
  const found = all.filter(stat => stat.pid === pid)
  for (const stat of found) found.push(...all.filter(({ parent }) => parent === stat.pid))
  return found
}

/** Processor seconds of a process and its descendants, those that ended included. */
export function treeCpu(pid: number): number {
  return tree(pid).reduce((sum, { own, ended }) => sum + own + ended, 0)
}

/** Processor seconds of the children of this process that have ended. */
export function endedChildrenCpu(): number {
  return readStat('self')?.ended ?? 0
}

/** From now on the peak is counted anew (proc(5), clear_refs). */
export function forgetPeakMemory(pid: number): void {
  for (const { pid: one } of tree(pid)) {
    try {
      writeFileSync(`/proc/${one}/clear_refs`, '5')
    } catch {}
  }
}

/** Peak resident bytes (VmHWM) of the largest process of a tree. */
export function treePeakMemory(pid: number): number {
  let peak = 0
  for (const { pid: one } of tree(pid)) {
    try {
      peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${one}/status`, 'utf8'))?.[1] ?? 0) * 1024)
    } catch {}
  }
  return peak
}

/** Processor seconds of the whole machine, stolen time included: tells what else ran meanwhile. */
export function machineBusySeconds(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, soft = 0, steal = 0] = readFileSync('/proc/stat', 'utf8')
    .split('\n')[0]!
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return (user + nice + system + irq + soft + steal) / TICKS
}

/** Bytes that a process has read so far, from files and sockets (`rchar`). */
export function bytesReadBy(pid: number): number {
  return Number(/^rchar: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1] ?? 0)
}
