import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newVm, TestHci } from '../testing/test-hci.ts'

let hci: TestHci
let vm: string
let snapshot: string

beforeAll(async () => {
  hci = await TestHci.start({ faults: true })
  vm = await hci.createVm('target')
  snapshot = await hci.snapshot(vm, 's')
})
afterAll(() => hci.close())

const scalar = fc.oneof(
  fc.constantFrom(0, 1, -1, 0.5, 512, 2 ** 53, '', 'x', '0', 'virtio0', 'backup', 'enable', null, true, false),
  fc.string({ maxLength: 5 }),
)
const anything: fc.Arbitrary<unknown> = fc.oneof(
  scalar,
  fc.array(scalar, { maxLength: 3 }),
  fc.dictionary(fc.constantFrom('disks', 'device_id', 'name', 'force'), scalar),
)

/** A right body, with some of its fields at any depth replaced or taken out. */
function spoiled(body: Record<string, unknown>): fc.Arbitrary<unknown> {
  const fields = Object.entries(body).map(([key, value]) => {
    const inner =
      typeof value === 'object' && value !== null && !Array.isArray(value) ? spoiled(value as Record<string, unknown>) : fc.constant(value)
    const list = Array.isArray(value)
      ? fc.array(typeof value[0] === 'object' ? spoiled(value[0] as Record<string, unknown>) : anything, { maxLength: 3 })
      : inner
    return fc.tuple(
      fc.constant(key),
      fc.oneof({ weight: 3, arbitrary: inner }, { weight: 2, arbitrary: list }, { weight: 1, arbitrary: anything }, fc.constant(undefined)),
    )
  })
  return fc.tuple(...fields).map(entries => Object.fromEntries(entries))
}

const config = newVm(
  'made',
  { virtio0: 1048576, ide1: 2097152 },
  { advanced_option: { turbo_mode_enabled: 0 }, host_id: 'host-varve000001' },
)
const calls: readonly (readonly [string, string, Record<string, unknown>])[] = [
  ['POST', '/janus/20180725/servers/config', config],
  ['PUT', '/janus/20180725/servers/{vm}/config', config],
  ['POST', '/janus/20190725/servers/{vm}/snapshots', { name: 's', description: '', snap_type: 'vs' }],
  ['PUT', '/janus/20180725/servers/{vm}/snapshots/{snapshot}', { name: 's', description: '', is_protected: 0 }],
  ['POST', '/janus/20180725/servers/{vm}/snapshots/action', { action: 'delete', snapshot_ids: ['x'] }],
  ['POST', '/janus/20180725/servers/{vm}/snapshots/{snapshot}/recovery', { backup: 1, power_on: 0 }],
  ['PUT', '/janus/20180725/servers/{vm}/cbt/status', { type: 'enable', disk_ids: ['virtio0'] }],
  ['POST', '/janus/20180725/backup-resources', { server_id: 'x', type: 'backup', lock_time: 60, host_id: 'x' }],
  ['POST', '/janus/20180725/servers/action', { server_ids: ['x'], server_action: { start_servers_action: '' } }],
  ['POST', '/janus/authenticate', { auth: { passwordCredentials: { username: 'backup', password: '00' } } }],
  ['POST', '/varve-test/faults', { kind: 'lease-lost', match: { vm_id: 'x' }, count: 1, params: { ms: 1 } }],
]

test.each(calls)('%s %s answers any body in an envelope, without a fault of its own', async (method, path, body) => {
  await fc.assert(
    fc.asyncProperty(spoiled(body), async given => {
      const answer = await hci.call(method, path.replace('{vm}', vm).replace('{snapshot}', snapshot), given)
      expect(answer.status).toBeLessThan(500)
      expect(answer.body).toHaveProperty('data')
      await hci.call('DELETE', '/varve-test/faults')
      if (answer.data?.task_id) await hci.ended(answer.data.task_id)
    }),
    { numRuns: 40 },
  )
})
