import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Run, Vm } from '@varve/catalog-client'
import { connectNbd } from '@varve/nbd'
import { openPlatform } from '@varve/platform'
import { Closer, createLogger, MiB } from '@varve/runtime'
import { expect, test } from 'vitest'
import { exportHash, noise } from '../support/pattern.ts'
import { ROOT, startPlatform, vmConfig } from '../support/system.ts'

interface Process {
  readonly apiUrl: string
  readonly token: string
  stop(signal: NodeJS.Signals): Promise<number | null>
}

async function startVarve(home: string): Promise<Process> {
  const child = spawn(
    process.execPath,
    [join(ROOT, 'packages', 'cli', 'bin', 'varve.mjs'), 'standalone', '--home', home, '--port', '0', '--json'],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, VARVE_LOG_LEVEL: 'silent' },
    },
  )
  const ended = new Promise<number | null>(resolve => child.once('exit', resolve))
  const killAtExit = (): void => {
    child.kill('SIGKILL')
  }
  process.once('exit', killAtExit)
  const line = await Promise.race([
    new Promise<string>(resolve => createInterface({ input: child.stdout }).once('line', resolve)),
    ended.then(code => {
      throw new Error(`varve standalone ended with ${code}`)
    }),
  ])
  const { apiUrl, token } = JSON.parse(line) as { apiUrl: string; token: string }
  return {
    apiUrl,
    token,
    async stop(signal) {
      child.kill(signal)
      const code = await ended
      process.off('exit', killAtExit)
      return code
    },
  }
}

async function call<Answer>({ apiUrl, token }: Process, method: string, path: string, body?: unknown): Promise<Answer> {
  const answer = await fetch(`${apiUrl}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
  return (await answer.json()) as Answer
}

test('kill -9 of a standalone in mid-run; the next start goes on with the run, and nothing is left behind', async () => {
  const closer = new Closer()
  try {
    const folder = await mkdtemp(join(tmpdir(), 'varve-killed-'))
    closer.add('folder', () => rm(folder, { recursive: true, force: true }))
    const platform = await startPlatform(join(folder, 'platform'))
    closer.add('platform', () => platform.stop())
    const driver = await openPlatform(
      { id: 'test', kind: 'scp', url: platform.url, credentials: platform.credentials },
      { log: createLogger('test', 'silent') },
    )
    closer.add('driver', () => driver.close())
    const size = 700 * MiB
    const vm = await driver.createVm(vmConfig('app-1', [{ id: 'virtio0', size }]), 'app-1', 'test')
    await driver.power(vm, 'on')
    const disk = await connectNbd({ path: platform.guestSocket, exportName: `${vm}/virtio0` })
    closer.add('guest', () => disk.close())
    for (let offset = 0; offset < size; offset += 4 * MiB) await disk.write(offset, noise(`at ${offset}`, 4 * MiB))

    const home = join(folder, 'varve')
    let varve = await startVarve(home)
    closer.add('varve', async () => void (await varve.stop('SIGTERM')))
    await call(varve, 'POST', '/v1/platforms', { name: 'lab', kind: 'scp', url: platform.url, credentials: platform.credentials })
    const { items } = await call<{ items: Vm[] }>(varve, 'GET', '/v1/vms')
    const vmId = items.find(item => item.platformVmId === vm)!.id
    const run = await call<Run>(varve, 'POST', `/v1/vms/${vmId}/backups`, {})

    // Killed as soon as it has read something: in the middle of a range.
    for (;;) {
      const now = await call<Run>(varve, 'GET', `/v1/runs/${run.id}`)
      expect(now.endedAt).toBeNull()
      if (now.totals.read > 0 || now.state === 'copying') break
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    await varve.stop('SIGKILL')
    varve = await startVarve(home)

    let now = run
    for (let attempt = 0; attempt < 900 && now.endedAt === null; attempt += 1) {
      await new Promise(resolve => setTimeout(resolve, 100))
      now = await call<Run>(varve, 'GET', `/v1/runs/${run.id}`)
    }
    expect(now, JSON.stringify(now)).toMatchObject({ state: 'succeeded' })
    expect(await driver.listSnapshots(vm, '')).toEqual([])

    let restore = await call<Run>(varve, 'POST', `/v1/restore-points/${now.restorePointId}/restores`, {
      target: 'new-vm',
      name: 'app-2',
      powerOn: true,
    })
    while (restore.endedAt === null) {
      await new Promise(resolve => setTimeout(resolve, 100))
      restore = await call<Run>(varve, 'GET', `/v1/runs/${restore.id}`)
    }
    expect(restore, JSON.stringify(restore)).toMatchObject({ state: 'succeeded' })
    const restored = await connectNbd({ path: platform.guestSocket, exportName: `${restore.targetPlatformVmId}/virtio0` })
    expect(await exportHash(restored)).toBe(await exportHash(disk))
    await restored.close()
    expect(await varve.stop('SIGTERM')).toBe(0)
  } finally {
    await closer.close().catch(() => {})
  }
}, 180_000)
