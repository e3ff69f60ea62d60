import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { connectNbd } from '@varve/nbd'
import { MiB, sleep, workerFile } from '@varve/runtime'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ACCOUNT, encrypted, newVm } from './testing/test-hci.ts'

const MAIN = fileURLToPath(workerFile(import.meta.url, './main.js'))
let folder: string
let running: ChildProcess | undefined

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-main-'))
})
afterEach(async () => {
  running?.kill('SIGKILL')
  await rm(folder, { recursive: true, force: true })
})

function environment(more: Record<string, string> = {}): Record<string, string> {
  return {
    PATH: process.env.PATH ?? '',
    VARVE_HCI_DATA_DIR: join(folder, 'data'),
    VARVE_HCI_PASSWORD: ACCOUNT.password,
    VARVE_HCI_PORT: '0',
    VARVE_HCI_BACKUP_NBD_PORT: '0',
    VARVE_HCI_BACKUP_NBD_TLS_PORT: '0',
    ...more,
  }
}

/** Starts the process; resolves with its base URL once it says that it is ready. */
async function start(): Promise<string> {
  const child = spawn(process.execPath, [MAIN], { env: environment(), stdio: ['ignore', 'ignore', 'pipe'] })
  running = child
  let text = ''
  for await (const chunk of child.stderr) {
    text += String(chunk)
    const port = /"port":(\d+).*"reference platform ready"/.exec(text)?.[1]
    if (port !== undefined) return `http://127.0.0.1:${port}`
  }
  throw new Error(`it did not start: ${text}`)
}

async function ended(child: ChildProcess | undefined): Promise<number | null> {
  if (child === undefined) return null
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  return new Promise(resolve => child.once('exit', resolve))
}

// biome-ignore lint/suspicious/noExplicitAny: answers of every shape
async function call(url: string, token: string, method: string, path: string, body?: unknown): Promise<any> {
  const response = await fetch(url + path, {
    method,
    headers: { authorization: `Token ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return ((await response.json()) as { data: unknown }).data
}

async function login(url: string): Promise<string> {
  const key = await call(url, '', 'GET', '/janus/public-key')
  const password = encrypted(key.public_key, ACCOUNT.password)
  const { access } = await call(url, '', 'POST', '/janus/authenticate', {
    auth: { passwordCredentials: { username: ACCOUNT.username, password } },
  })
  return access.token.id
}

test('--show-config prints the settings without secrets', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, '--show-config'], { env: environment() })
  expect(stdout).toContain('VARVE_HCI_USERNAME=backup')
  expect(stdout).toContain('VARVE_HCI_PASSWORD=(hidden)')
  expect(stdout).not.toContain(ACCOUNT.password)
})

test('wrong settings are told together, in one go', async () => {
  const { VARVE_HCI_PASSWORD: _, ...env } = environment({ VARVE_HCI_PORT: 'x' })
  const failed = await promisify(execFile)(process.execPath, [MAIN], { env }).catch(error => error)
  expect(failed.code).toBe(1)
  expect(failed.stderr).toContain('VARVE_HCI_PASSWORD')
  expect(failed.stderr).toContain('VARVE_HCI_PORT')
})

test('killed and started again: VM, what a guest flushed, leases and tasks are there; then it stops cleanly', async () => {
  let url = await start()
  let token = await login(url)
  const { uuid, task_id } = await call(url, token, 'POST', '/janus/20180725/servers/config', newVm('survivor', { virtio0: MiB }))
  const finish = async (id: string): Promise<void> => {
    while ((await call(url, token, 'GET', `/janus/20180725/tasks/${id}`)).status !== 'finish') await sleep(10)
  }
  await finish(task_id)
  // Starting is a task, too: before it is done the guest's disks are not served.
  await finish((await call(url, token, 'POST', `/janus/20180725/servers/${uuid}/start`)).task_id)
  const { resource_id } = await call(url, token, 'POST', '/janus/20180725/backup-resources', {
    server_id: uuid,
    type: 'backup',
    lock_time: 600,
  })
  const guest = await connectNbd({ path: join(folder, 'data', 'guest.sock'), exportName: 'survivor/virtio0' })
  await guest.write(4096, Buffer.from('flushed'))
  await guest.flush()
  running?.kill('SIGKILL')
  await ended(running)
  await guest.close()

  url = await start()
  token = await login(url)
  expect(await call(url, token, 'GET', `/janus/20180725/tasks/${task_id}`)).toMatchObject({ status: 'finish', object_name: 'survivor' })
  expect(await call(url, token, 'GET', `/janus/20180725/backup-resources/${resource_id}`)).toMatchObject({ status: 'running' })
  const again = await connectNbd({ path: join(folder, 'data', 'guest.sock'), exportName: 'survivor/virtio0' })
  const text = Buffer.alloc(7)
  await again.readInto(4096, text)
  expect(text.toString()).toBe('flushed')
  await again.close()
  running?.kill('SIGTERM')
  expect(await ended(running)).toBe(0)
})
