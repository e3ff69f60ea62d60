import { KiB, MiB } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { exportHash, noise } from '../support/pattern.ts'
import { type System, startSystem } from '../support/system.ts'

/** A platform whose backup port takes nothing but TLS: what arrives at all arrived over it. */

const SIZE = 24 * MiB
let system: System
let vmId: string
let platformVmId: string

const write = async (offset: number, bytes: Uint8Array): Promise<void> => {
  const disk = await system.guest(platformVmId, 'virtio0')
  await disk.write(offset, bytes)
  await disk.flush()
  await disk.close()
}
const hashOf = async (id: string): Promise<string> => {
  const disk = await system.guest(id, 'virtio0')
  const hash = await exportHash(disk)
  await disk.close()
  return hash
}

beforeAll(async () => {
  system = await startSystem({ platformArgs: ['--nbd-tls', 'required'] })
  ;({ vmId, platformVmId } = await system.createVm('secret', [{ id: 'virtio0', size: SIZE }]))
  await write(MiB, noise('tls', 12 * MiB))
}, 60_000)
afterAll(async () => {
  await system?.close()
})

test('a full and an incremental backup, and a restore, over TLS only', async () => {
  const full = await system.backup(vmId)
  expect(full, JSON.stringify(full)).toMatchObject({ state: 'succeeded' })
  expect(full.totals.read).toBeGreaterThanOrEqual(12 * MiB)
  await write(5 * MiB, noise('changed', 256 * KiB))
  const hash = await hashOf(platformVmId)
  const incremental = await system.backup(vmId)
  expect(incremental, JSON.stringify(incremental)).toMatchObject({ state: 'succeeded', images: [{ kind: 'incremental' }] })
  const restore = await system.restore(incremental.restorePointId!, { target: 'new-vm', name: 'secret-copy', powerOn: true })
  expect(restore, JSON.stringify(restore)).toMatchObject({ state: 'succeeded' })
  expect(await hashOf(restore.targetPlatformVmId!)).toBe(hash)
})

test('asked for plain text, a platform that has none is refused by name, not worked around', async () => {
  const platform = { name: 'plain', kind: 'scp', url: system.platform.url, credentials: system.platform.credentials, transport: 'nbd' }
  const { id } = await system.api<{ id: string }>('POST', '/v1/platforms', platform)
  const { items } = await system.api<{ items: { id: string; platformId: string; platformVmId: string }[] }>('GET', '/v1/vms')
  const vm = items.find(item => item.platformId === id && item.platformVmId === platformVmId)
  const run = await system.backup(vm!.id)
  expect(run).toMatchObject({ state: 'failed', reason: 'PLATFORM_REFUSED' })
})
