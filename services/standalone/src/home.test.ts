import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Home } from './home.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-home-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

test('a secret is made once, is hard to guess, and only its owner may read it', async () => {
  const home = new Home(folder)
  const token = await home.secret('token')
  expect(token.length).toBeGreaterThanOrEqual(32)
  expect(await new Home(folder).secret('token')).toBe(token)
  expect((await stat(home.path('token'))).mode & 0o777).toBe(0o600)
})

test('a home whose process lives is refused, one whose process was killed is taken over', async () => {
  const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
  const home = new Home(folder)
  await home.claim()
  await home.writeState({ apiUrl: 'http://127.0.0.1:7300', token: 't', pid: other.pid! })
  await expect(new Home(folder).claim()).rejects.toMatchObject({ code: 'ALREADY_RUNNING' })
  other.kill('SIGKILL')
  await once(other, 'exit')
  await expect(new Home(folder).claim()).resolves.toBeUndefined()
  await home.removeState()
  expect(await home.readState()).toBeUndefined()
})
