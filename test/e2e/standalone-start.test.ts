import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { ROOT } from '../support/system.ts'

const run = promisify(execFile)
const VARVE = join(ROOT, 'packages', 'cli', 'bin', 'varve.mjs')

test('a port that is in use is one clear line and exit code 1, and nothing is left running', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'varve-port-'))
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  try {
    const failed = await run(process.execPath, [VARVE, 'standalone', '--home', folder, '--port', String(port)], {
      env: { ...process.env, VARVE_LOG_LEVEL: 'silent' },
    }).then(
      () => undefined,
      (error: { code: number; stderr: string }) => error,
    )
    expect(failed?.code).toBe(1)
    expect(failed?.stderr.trim()).toBe(`PORT_IN_USE: port ${port} is in use: stop the program that uses it, or give another with --port`)
    const { stdout } = await run('ps', ['-eo', 'args'])
    expect(stdout).not.toContain(join(folder, 'postgres'))
  } finally {
    server.close()
    await rm(folder, { recursive: true, force: true })
  }
})

test('--show-config prints the settings, without secrets', async () => {
  const { stdout } = await run(process.execPath, [VARVE, 'standalone', '--show-config'], {
    env: { ...process.env, VARVE_S3_SECRET_KEY: 'do-not-show', VARVE_API_PORT: '8123' },
  })
  expect(stdout).toContain('VARVE_API_PORT=8123')
  expect(stdout).not.toContain('do-not-show')
})
