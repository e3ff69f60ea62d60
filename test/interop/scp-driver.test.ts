import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectNbd } from '@varve/nbd'
import { openPlatform, type PlatformConnection, type PlatformDriver } from '@varve/platform'
import { type PlatformFixture, testPlatformDriver } from '@varve/platform/testing'
import { afterEach, expect, test } from 'vitest'
import { type LocalHci, startLocalHci } from '../support/hci.ts'

/** The SCP driver against the reference platform, logged in by password and by access key. */
for (const [name, credentialsOf] of [
  ['the reference platform over a password', (hci: LocalHci) => hci.account],
  ['the reference platform over an access key', (hci: LocalHci) => hci.accessKey],
] as const) {
  testPlatformDriver(name, async (): Promise<PlatformFixture> => {
    const local = await startLocalHci()
    const credentials = credentialsOf(local)
    const wrong = 'password' in credentials ? { ...credentials, password: 'wrong' } : { ...credentials, secretKey: 'wrong' }
    return {
      open: () => openPlatform(connectionTo(local, credentials)),
      openWithWrongCredentials: () => openPlatform(connectionTo(local, wrong)),
      createVm: (vmName, disks) => local.createVm(vmName, disks),
      guestWrite: async (vmId, diskId, offset, bytes) => {
        const disk = await local.hci.datastore.openDisk(vmId, diskId)
        await disk.write(offset, bytes, false)
        await disk.flush()
        await disk.close()
      },
      readDisk: async (address, offset, length) => {
        const client = await connectNbd(address)
        try {
          const target = new Uint8Array(length)
          await client.readInto(offset, target)
          return target
        } finally {
          await client.close()
        }
      },
      writeDisk: async (address, offset, bytes) => {
        const client = await connectNbd(address)
        try {
          await client.write(offset, bytes)
          await client.flush()
        } finally {
          await client.close()
        }
      },
      close: () => local.close(),
    }
  })
}

function connectionTo(local: LocalHci, credentials: PlatformConnection['credentials']): PlatformConnection {
  return { id: 'hci', kind: 'scp', url: local.hci.url, credentials }
}

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close()
})
async function start(
  options: Parameters<typeof startLocalHci>[0],
  signing?: readonly string[],
): Promise<{ local: LocalHci; driver: PlatformDriver }> {
  const local = await startLocalHci(options)
  const driver = openPlatform(
    connectionTo(local, signing === undefined ? local.account : local.accessKey),
    signing === undefined ? {} : { signing: { headers: signing } },
  )
  open.push(local, driver)
  return { local, driver }
}

test('each way to sign that clients were seen to use is taken', async () => {
  for (const headers of [['x-amz-date'], ['path', 'x-amz-date'], ['cookie', 'x-amz-date']]) {
    const { driver } = await start({}, headers)
    expect(await driver.version()).toMatch(/\S/)
  }
})

test('VMs that agentless backup leaves out say why', async () => {
  const { local, driver } = await start({})
  const disks = [{ id: 'virtio0', size: 1 << 20 }]
  const exclusions = async (conf: Record<string, unknown>): Promise<readonly string[]> =>
    (await driver.getVm(await local.createVm(JSON.stringify(conf), disks, conf))).exclusions
  expect(await exclusions({})).toEqual([])
  expect(await exclusions({ advanced_option: { turbo_mode_enabled: true } })).toEqual(['turbo'])
  expect(await exclusions({ os_name: 'Backup Proxy' })).toEqual(['backup-proxy'])
  expect(await exclusions({ application: 'desk', revert_mode: 1 })).toEqual(['desktop-revert'])
  expect(await exclusions({ vmtype: 'placeholder' })).toEqual(['vm-type'])
})

test('a platform that was restarted is gone on with: a new login, the lease still there', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'varve-hci-'))
  open.push({ close: () => rm(dataDir, { recursive: true, force: true }) })
  const first = await startLocalHci({ dataDir })
  const driver = openPlatform(connectionTo(first, first.account))
  open.push(driver)
  const vmId = await first.createVm('web', [{ id: 'virtio0', size: 1 << 20 }])
  const lease = await driver.createLease(vmId, 'backup', 60)
  const { port } = first.hci
  await first.hci.close()
  const calls = [driver.getLease(lease.id), driver.getVm(vmId)] as const
  const second = await startLocalHci({ dataDir, listen: { port } })
  open.push(second)
  expect(await calls[0]).toMatchObject({ id: lease.id, vmId, status: 'running' })
  expect(await calls[1]).toMatchObject({ name: 'web' })
  await driver.releaseLease(lease.id)
})

test('the list of more VMs than a page holds is whole', async () => {
  const { local, driver } = await start({})
  for (let i = 0; i < 120; i++) await local.createVm(`vm-${i}`, [{ id: 'virtio0', size: 1 << 20 }])
  const names = new Set<string>()
  for await (const vm of driver.listVms()) names.add(vm.name)
  expect(names.size).toBe(120)
})

test('changed areas of a scattered disk come whole over many answers', async () => {
  const { local, driver } = await start({ changedAreasPerPage: 7 })
  const size = 64 << 20
  const vmId = await local.createVm('scattered', [{ id: 'virtio0', size }])
  await driver.setCbt(vmId, 'enable')
  const disk = await local.hci.datastore.openDisk(vmId, 'virtio0')
  for (let offset = 0; offset < size; offset += 4 * 65536) await disk.write(offset, new Uint8Array(512).fill(1), false)
  await disk.close()
  const snapshot = await driver.createSnapshot(vmId, 's')
  let pages = 0
  const offsets: number[] = []
  for await (const extents of driver.changedAreas({ vmId, diskId: 'virtio0', snapshotId: snapshot.id, since: 0n, diskSize: size })) {
    pages += 1
    offsets.push(...extents.map(e => e.offset))
  }
  expect(offsets).toEqual(Array.from({ length: 256 }, (_, i) => i * 4 * 65536))
  expect(pages).toBe(Math.ceil(256 / 7))
})

test('the reference platform tells on which host a VM is and on which datastore each disk', async () => {
  const local = await startLocalHci()
  open.push(local)
  const driver = openPlatform(connectionTo(local, local.account))
  open.push(driver)
  const id = await local.createVm('app', [{ id: 'virtio0', size: 2 ** 20 }])
  const places = { hostId: expect.stringMatching(/./), disks: [{ id: 'virtio0', datastoreId: expect.stringMatching(/./) }] }
  expect(await driver.getVm(id)).toMatchObject(places)
  for await (const vm of driver.listVms()) expect(vm).toMatchObject(places)
})
