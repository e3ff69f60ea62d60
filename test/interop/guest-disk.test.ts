import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openPlatform } from '@varve/platform'
import { createLogger, MiB } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type PlatformUnderTest, startPlatform, vmConfig } from '../support/system.ts'
import { missingTool, runTool } from '../support/tools.ts'

/** Programs that others wrote, on the live disks of the reference platform: what a guest sees, with tracking on and snapshots coming and going. */

let folder: string
let platform: PlatformUnderTest
let driver: ReturnType<typeof openPlatform>
let vm: string
let uri: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-guest-disk-'))
  platform = await startPlatform(join(folder, 'platform'))
  driver = openPlatform(
    { id: 'test', kind: 'scp', url: platform.url, credentials: platform.credentials },
    { log: createLogger('test', 'silent') },
  )
  vm = await driver.createVm(vmConfig('disk-1', [{ id: 'virtio0', size: 96 * MiB }]), 'disk-1', 'disk-1')
  await driver.power(vm, 'on')
  await driver.setCbt(vm, 'enable')
  uri = `nbd+unix:///${vm}/virtio0?socket=${platform.guestSocket}`
})

afterAll(async () => {
  await driver?.close()
  await platform?.stop()
  await rm(folder, { recursive: true, force: true })
})

test('fio writes at random and verifies every block, while snapshots are taken and merged under it', async ctx => {
  const missing = missingTool('fio')
  if (missing !== undefined) return ctx.skip(missing)
  const writing = runTool('fio', [
    ...['--name=verify', '--ioengine=nbd', `--uri=${uri}`, '--rw=randwrite', '--bs=4k-64k', '--size=64m', '--iodepth=8', '--randseed=11'],
    ...['--rate=24m', '--verify=crc32c', '--do_verify=1', '--verify_fatal=1', '--verify_state_save=0'],
  ])
  let done = false
  const ended = writing.finally(() => {
    done = true
  })
  ended.catch(() => {})
  let snapshots = 0
  while (!done) {
    const snapshot = await driver.createSnapshot(vm, `under-fio-${snapshots}`)
    await driver.deleteSnapshot(vm, snapshot.id)
    snapshots += 1
  }
  expect(await ended).toMatch(/err= ?0/)
  expect(snapshots).toBeGreaterThan(1)
}, 90_000)

test('nbdinfo maps what is allocated, qemu-img agrees, and a trim gives it back', async ctx => {
  const missing = missingTool('nbdinfo', 'qemu-img', 'qemu-io')
  if (missing !== undefined) return ctx.skip(missing)
  await runTool('qemu-io', ['-f', 'raw', '-c', 'discard 0 96M', uri])
  await runTool('qemu-io', ['-f', 'raw', '-c', 'write -P 0x5a 16M 1M', '-c', 'flush', uri])
  const map = async (): Promise<{ offset: number; length: number; type: number }[]> =>
    JSON.parse(await runTool('nbdinfo', ['--map', '--json', uri]))
  expect((await map()).filter(extent => extent.type === 0)).toMatchObject([{ offset: 16 * MiB, length: MiB }])
  const qemu = JSON.parse(await runTool('qemu-img', ['map', '-f', 'raw', '--output=json', uri])) as {
    start: number
    length: number
    zero: boolean
  }[]
  expect(qemu.filter(extent => !extent.zero)).toMatchObject([{ start: 16 * MiB, length: MiB }])
  await runTool('qemu-io', [
    '-f',
    'raw',
    '-c',
    'read -P 0x5a 16M 1M',
    '-c',
    'read -P 0 0 16M',
    '-c',
    'discard 16M 1M',
    '-c',
    'read -P 0 16M 1M',
    uri,
  ])
  expect((await map()).filter(extent => extent.type === 0)).toEqual([])
})
