import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'

/** How to start a program: as whom, with which environment. */
export interface Launch {
  readonly env?: Readonly<Record<string, string>>
  readonly uid?: number
  readonly gid?: number
}

/** Run a short program to its end; its last 8 KiB of output, both streams together. */
export function run(program: string, args: readonly string[], launch: Launch): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { ...launch, stdio: ['ignore', 'pipe', 'pipe'], cwd: '/' })
    let output = ''
    const collect = (chunk: Buffer): void => {
      output = (output + chunk.toString('utf8')).slice(-8192)
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    child.on('error', reject)
    child.on('close', code => resolve({ code: code ?? -1, output }))
  })
}

export async function readTextIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
