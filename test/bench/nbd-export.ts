import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '@varve/runtime'
import { findTool } from '../support/tools.ts'
import type { Parts } from './parts.ts'
import { Skip } from './skip.ts'

/** The disk as an NBD export over TCP, by a server that is neither ours nor a peer's. @throws Skip */
export async function exportDisk({ folder, closer, disk }: Parts): Promise<{ readonly port: number; readonly pid: number }> {
  const qemuNbd = findTool('qemu-nbd')
  if (qemuNbd === undefined) throw new Skip('qemu-nbd is not installed')
  const port = await freePort()
  const options = ['--read-only', '--format=raw', '--persistent', '--shared=16', '--bind=127.0.0.1', `--port=${port}`]
  const pidFile = join(folder, `qemu-nbd-${port}.pid`)
  const server = spawn(qemuNbd, [...options, `--pid-file=${pidFile}`, disk.path], { stdio: 'ignore' })
  const ended = new Promise(resolve => server.once('exit', resolve))
  closer.add('qemu-nbd', async () => {
    server.kill('SIGTERM')
    await ended
  })
  while (!existsSync(pidFile)) {
    if (server.exitCode !== null) throw new Error(`qemu-nbd ended with ${server.exitCode}`)
    await sleep(20)
  }
  return { port, pid: server.pid! }
}
