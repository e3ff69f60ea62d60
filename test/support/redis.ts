import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '@varve/runtime'
import { findTool } from './tools.ts'

/** A real Redis on a free loopback port, nothing persisted. */
export async function startRedis(): Promise<{ url: string; pid: number; close(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-redis-'))
  const port = await freePort()
  const child = spawn(
    findTool('redis-server') ?? 'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder],
    {
      stdio: 'ignore',
    },
  )
  for (let attempt = 0; !(await answers(port)); attempt += 1) {
    if (attempt > 100) throw new Error('redis-server did not start')
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    pid: child.pid!,
    async close() {
      child.kill('SIGTERM')
      if (child.exitCode === null) await once(child, 'exit')
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
