import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const execFileAsync = promisify(execFile)

/** Is this program installed? */
export function hasTool(name: string): boolean {
  return spawnSync(name, ['--version'], { stdio: 'ignore' }).error === undefined
}

/** Run a program to its end; its stdout. Throws when it fails or takes longer than 20 s. */
export async function runTool(name: string, args: readonly string[], cwd?: string): Promise<string> {
  const { stdout } = await execFileAsync(name, [...args], {
    timeout: 20_000,
    maxBuffer: 16 * 1024 * 1024,
    ...(cwd === undefined ? {} : { cwd }),
  })
  return stdout
}

/** A directory that vanishes with the test. */
export async function temporaryDirectory(): Promise<{ readonly path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'varve-nbd-'))
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

/** Start a server program that listens on the unix socket `socket`; resolves when it does. */
export async function startPeer(name: string, args: readonly string[], socket: string): Promise<{ stop(): Promise<void> }> {
  const child = spawn(name, [...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', chunk => {
    said += String(chunk)
  })
  for (let tries = 0; !(await listens(socket)); tries++) {
    if (child.exitCode !== null || tries > 200) {
      await stop(child)
      throw new Error(`${name} does not listen: ${said}`)
    }
    await new Promise(resolve => setTimeout(resolve, 25))
  }
  return { stop: () => stop(child) }
}

function listens(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ path })
    socket.on('error', () => resolve(false))
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise(resolve => child.once('exit', resolve))
  child.kill('SIGKILL')
  await exited
}
