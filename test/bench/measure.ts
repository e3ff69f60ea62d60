import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { GiB } from '@varve/runtime'
import { endedChildrenCpu, forgetPeakMemory, machineBusySeconds, treeCpu, treePeakMemory } from './process-usage.ts'

/** One run of one subject. Seconds and bytes. */
export interface Measured {
  readonly wall: number
  /** Of the subject's own processes. */
  readonly cpu: number
  /** Of the servers it talked to (MinIO, the NBD server). */
  readonly serverCpu: number
  /** Of everything else on the machine meanwhile: high means that the run says little. */
  readonly otherCpu: number
  readonly peak: number
  readonly [figure: string]: number
}

const SAMPLE_MS = 50

/**
 * Touch memory before a phase that allocates: a virtual machine that gave free pages back to its host pays for their return, up to ten
 * times the cost of the work itself.
 */
export async function warm(gib: number): Promise<void> {
  if (gib === 0) return
  // A process of its own: this one would keep them until its collector runs.
  const script = `const held = []; for (let i = 0; i < ${gib * 4}; i++) held.push(Buffer.alloc(${GiB / 4}, 1))`
  await once(spawn(process.execPath, ['-e', script], { stdio: 'ignore' }), 'exit')
}

/** Run a program to its end. @throws with the end of what it printed when its exit code is not 0 */
export async function measureCommand(
  command: readonly string[],
  { env = {}, servers = [], cwd }: { env?: Record<string, string>; servers?: readonly number[]; cwd?: string } = {},
): Promise<{ readonly measured: Measured; readonly output: string }> {
  const [program = '', ...args] = command
  const before = { ended: endedChildrenCpu(), servers: servers.map(treeCpu), busy: machineBusySeconds() }
  const started = performance.now()
  const child = spawn(program, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(cwd === undefined ? {} : { cwd }),
  })
  let output = ''
  let complaints = ''
  child.stdout.on('data', part => (output = (output + String(part)).slice(-100_000)))
  child.stderr.on('data', part => (complaints = (complaints + String(part)).slice(-4000)))
  let peak = 0
  const sampler = setInterval(() => {
    peak = Math.max(peak, treePeakMemory(child.pid ?? 0))
  }, SAMPLE_MS)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  }).finally(() => clearInterval(sampler))
  const wall = (performance.now() - started) / 1000
  if (code !== 0) throw new Error(`${command.join(' ').slice(0, 200)} ended with ${code}: ${complaints}${output.slice(-2000)}`)
  const cpu = endedChildrenCpu() - before.ended
  const serverCpu = servers.reduce((sum, pid, at) => sum + treeCpu(pid) - before.servers[at]!, 0)
  return { measured: { wall, cpu, serverCpu, otherCpu: Math.max(0, machineBusySeconds() - before.busy - cpu - serverCpu), peak }, output }
}

/** Time something that long-running processes do. */
export async function measureProcesses<T>(
  { own, servers }: { readonly own: readonly number[]; readonly servers: readonly number[] },
  act: () => Promise<T>,
): Promise<{ readonly measured: Measured; readonly result: T }> {
  for (const pid of own) forgetPeakMemory(pid)
  const before = { own: own.map(treeCpu), servers: servers.map(treeCpu), busy: machineBusySeconds() }
  const started = performance.now()
  const result = await act()
  const wall = (performance.now() - started) / 1000
  const cpu = own.reduce((sum, pid, at) => sum + treeCpu(pid) - before.own[at]!, 0)
  const serverCpu = servers.reduce((sum, pid, at) => sum + treeCpu(pid) - before.servers[at]!, 0)
  const peak = Math.max(...own.map(treePeakMemory))
  return { measured: { wall, cpu, serverCpu, otherCpu: Math.max(0, machineBusySeconds() - before.busy - cpu - serverCpu), peak }, result }
}

/** The same, of which only the figures are wanted. */
export async function measured(...call: Parameters<typeof measureCommand>): Promise<Measured> {
  return (await measureCommand(...call)).measured
}

/** A program of this folder. */
export function nodeScript(name: string, ...args: string[]): string[] {
  return [process.execPath, join(import.meta.dirname, `${name}.js`), ...args]
}
