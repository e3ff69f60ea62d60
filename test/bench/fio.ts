import { findTool, runTool } from '../support/tools.ts'
import { type Measured, measureCommand } from './measure.ts'
import { Skip } from './skip.ts'

export interface FioJob {
  readonly name: string
  /** fio's own words: `randwrite`, `write`. */
  readonly pattern: string
  readonly blockSize: string
  readonly depth: number
}

/** @throws Skip when there is no fio, or it knows no NBD */
export async function requireFio(): Promise<string> {
  const fio = findTool('fio')
  if (fio === undefined) throw new Skip('fio is not installed')
  if (!/^\s*nbd$/m.test(await runTool(fio, ['--enghelp']))) throw new Skip('this fio has no ioengine nbd')
  return fio
}

/** Write to an export for some seconds; `mibs` is what went through, MiB a second. */
export async function runFio(
  fio: string,
  uri: string,
  { name, pattern, blockSize, depth }: FioJob,
  options: { readonly seconds: number; readonly size: number; readonly servers: readonly number[] },
): Promise<Measured> {
  const { seconds, size, servers } = options
  const args = ['--ioengine=nbd', `--uri=${uri}`, `--rw=${pattern}`, `--bs=${blockSize}`, `--iodepth=${depth}`, `--size=${size}`]
  const { measured, output } = await measureCommand(
    // The same places in the same order each time; random bytes, once.
    [fio, `--name=${name}`, ...args, '--time_based', `--runtime=${seconds}`, '--randseed=1', '--norandommap', '--output-format=json'],
    { servers },
  )
  return { ...measured, ...writtenBy(output) }
}

/** What fio's JSON says; it may print warnings before. */
export function writtenBy(output: string): { readonly mibs: number; readonly iops: number } {
  const answer = JSON.parse(output.slice(output.indexOf('{'))) as { jobs: readonly [{ write: { bw: number; iops: number } }] }
  const { bw, iops } = answer.jobs[0].write
  return { mibs: bw / 1024, iops }
}
