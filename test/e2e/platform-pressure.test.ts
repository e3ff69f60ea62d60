import type { Platform } from '@varve/catalog-client'
import { MiB } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { noise } from '../support/pattern.ts'
import { type System, startSystem } from '../support/system.ts'

/** A platform that answers 429 is given less, and it shows; what a limit of the connection costs shows, too. */

let system: System
let vmId: string

beforeAll(async () => {
  system = await startSystem({ platformArgs: ['--faults'] })
  const vm = await system.createVm('app-1', [{ id: 'virtio0', size: 16 * MiB }])
  vmId = vm.vmId
  const disk = await system.guest(vm.platformVmId, 'virtio0')
  for (let offset = 0; offset < 16 * MiB; offset += 4 * MiB) await disk.write(offset, noise(`at ${offset}`, 4 * MiB))
  await disk.close()
}, 120_000)

afterAll(async () => {
  await system?.close()
})

const platform = async (): Promise<Platform> => (await system.api<{ items: Platform[] }>('GET', '/v1/platforms')).items[0]!

test('a backup under 429 succeeds, and the platform is under pressure afterwards', async () => {
  expect((await platform()).pressure).toEqual({ level: 0, reason: null, at: null })
  await system.platformCall('POST', '/varve-test/faults', { kind: 'http-status', count: 3, params: { status: 429, retry_after: 1 } })
  expect(await system.backup(vmId)).toMatchObject({ state: 'succeeded' })
  expect((await platform()).pressure).toMatchObject({ level: 1, reason: 'throttled', at: expect.any(String) })
})

test('under pressure a connection gets half of its limit, and the run says what it waited for', async () => {
  await system.api('PATCH', `/v1/platforms/${system.platformId}`, { limits: { bytesPerSecond: 4 * MiB } })
  const run = await system.backup(vmId, { full: true })
  expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded', bottleneck: 'throttle' })
})
