import { createServer } from 'node:net'
import { join } from 'node:path'
import { connectNbd } from '@varve/nbd'
import { createLogger, MiB } from '@varve/runtime'
import { expect, test } from 'vitest'
import { startHci } from './hci.ts'
import { ACCOUNT, TestHci } from './testing/test-hci.ts'

const log = createLogger('hci', 'silent')

test('a second platform on the same folder is refused, and does not disturb the first', async () => {
  const first = await TestHci.start()
  await first.createVm('vm')
  await expect(startHci({ dataDir: first.dataDir, accounts: [ACCOUNT], log })).rejects.toMatchObject({ code: 'DATASTORE_LOCKED' })
  await first.done('POST', `/janus/20180725/servers/${(await first.call('GET', '/janus/20240725/servers')).data.data[0].id}/start`)
  await (await first.guest('vm')).close()
  await first.close()
})

test('a port in use is told, and nothing stays open or locked', async () => {
  const other = createServer()
  await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve))
  const { port } = other.address() as { port: number }
  const hci = await TestHci.start()
  await hci.hci.close()
  for (const taken of [{ listen: { port } }, { backupNbd: { port } }, { guestNbd: { port } }]) {
    await expect(startHci({ dataDir: hci.dataDir, accounts: [ACCOUNT], log, ...taken })).rejects.toMatchObject({ code: 'EADDRINUSE' })
  }
  hci.hci = await startHci({ dataDir: hci.dataDir, accounts: [ACCOUNT], log })
  await hci.close()
  other.close()
})

test('a socket path that is too long is told before anything is made', async () => {
  const dataDir = join('/tmp', 'x'.repeat(100))
  await expect(startHci({ dataDir, accounts: [ACCOUNT], log })).rejects.toMatchObject({ code: 'SOCKET_PATH_TOO_LONG' })
})

test('guests over TCP, where the platform is told to', async () => {
  const hci = await TestHci.start({ guestNbd: {}, guestDisksWhileOff: true })
  await hci.createVm('tcp', { ide0: 2 * MiB })
  const disk = await connectNbd({ ...hci.hci.guestNbd, exportName: 'tcp/ide0' })
  expect(disk.size).toBe(2 * MiB)
  await disk.close()
  // A restore has the disk for itself, also when guests may use disks of VMs that are off.
  const vm = (await hci.call('GET', '/janus/20240725/servers')).data.data[0].id
  const guest = await hci.guest('tcp', 'ide0')
  await hci.lease(vm, 'restore')
  await expect(guest.write(0, Buffer.alloc(512))).rejects.toThrow()
  await guest.close()
  await hci.close()
})

test('it stops in the middle of everything', async () => {
  const hci = await TestHci.start({ faults: true })
  const vm = await hci.createVm('busy')
  await hci.done('POST', `/janus/20180725/servers/${vm}/start`)
  const snapshot = await hci.snapshot(vm, 's')
  const lease = await hci.lease(vm, 'backup')
  const [guest, backup] = [await hci.guest('busy'), await hci.leased(lease, snapshot, 'virtio0')]
  await hci.call('POST', '/varve-test/faults', { kind: 'task-slow', params: { ms: 60_000 } })
  const { data } = await hci.call('POST', `/janus/20190725/servers/${vm}/snapshots`, { name: 'slow' })
  await hci.restart()
  expect(await hci.ended(data.task_id)).toMatchObject({ status: 'failure' })
  await expect(guest.readInto(0, Buffer.alloc(512))).rejects.toThrow()
  await expect(backup.readInto(0, Buffer.alloc(512))).rejects.toThrow()
  await Promise.all([guest.close(), backup.close()])
  await hci.close()
})
