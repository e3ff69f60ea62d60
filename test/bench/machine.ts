import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, totalmem } from 'node:os'
import { promisify } from 'node:util'
import { GiB } from '@varve/runtime'
import { findTool } from '../support/tools.ts'

/** The machine in words. */
export function machine(): string {
  const [, name = 'Linux'] = /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8')) ?? []
  const model = cpus()[0]?.model.trim() ?? ''
  return `${availableParallelism()} cores (${model}), ${(totalmem() / GiB).toFixed(0)} GiB, ${name}`
}

const TOOLS: readonly (readonly [name: string, path: string | undefined, arg: string])[] = [
  ['nbdcopy', findTool('nbdcopy'), '--version'],
  ['QEMU', findTool('qemu-nbd'), '--version'],
  ['fio', findTool('fio'), '--version'],
  ['restic', process.env.VARVE_BENCH_RESTIC ?? findTool('restic'), 'version'],
  ['kopia', process.env.VARVE_BENCH_KOPIA ?? findTool('kopia'), '--version'],
  ['borg', findTool('borg'), '--version'],
  ['virtnbdbackup', findTool('virtnbdbackup'), '--version'],
  ['libvirt', findTool('libvirtd'), '--version'],
]

/** Node and the tools beside it, those that are there. */
export async function versions(): Promise<string> {
  const found = [`Node ${process.versions.node}`]
  for (const [name, path, arg] of TOOLS) {
    if (path === undefined) continue
    const answer = await promisify(execFile)(path, [arg]).catch(() => undefined)
    const version = /\d+\.\d+(\.\d+)?/.exec(answer?.stdout ?? '')?.[0]
    if (version !== undefined) found.push(`${name} ${version}`)
  }
  return found.join(', ')
}
