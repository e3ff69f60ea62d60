import { type Extent, GRANULARITY, totalLength } from '@varve/cbt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DiskAddress, Lease, PlatformDriver, PlatformVm } from '../driver.ts'
import { PlatformError } from '../errors.ts'
import { carriesToken } from '../made-with.ts'

/** A platform that a driver is tried on, and a hand in its machine room. */
export interface PlatformFixture {
  /** A driver with good credentials; the suite closes it. */
  open(): PlatformDriver | Promise<PlatformDriver>
  /** A driver with a wrong password or key. */
  openWithWrongCredentials(): PlatformDriver | Promise<PlatformDriver>
  /** A new VM with empty disks, powered off, CBT off; its id. */
  createVm(name: string, disks: readonly { readonly id: string; readonly size: number }[]): Promise<string>
  /** What the running guest writes; resolved = acknowledged and flushed. */
  guestWrite(vmId: string, diskId: string, offset: number, bytes: Uint8Array): Promise<void>
  readDisk(address: DiskAddress, offset: number, length: number): Promise<Uint8Array>
  /** Resolved = flushed. */
  writeDisk(address: DiskAddress, offset: number, bytes: Uint8Array): Promise<void>
  close(): Promise<void>
}

const MiB = 1024 * 1024
/** The second disk doesn't end on a granule. */
const DISKS = [
  { id: 'virtio0', size: 64 * MiB },
  { id: 'virtio1', size: 3 * MiB + 512 },
] as const
/** Shortest time that SCP grants a lease. */
const LEASE_SECONDS = 60

/**
 * What every PlatformDriver promises, tried on its platform: `testPlatformDriver('SCP', startFixture)` in a test file of its own.
 */
export function testPlatformDriver(name: string, makeFixture: () => Promise<PlatformFixture>): void {
  describe(`${name} as a platform`, () => {
    let fixture: PlatformFixture
    let driver: PlatformDriver
    let vms = 0

    beforeAll(async () => {
      fixture = await makeFixture()
      driver = await fixture.open()
    })
    afterAll(async () => {
      await driver?.close()
      await fixture?.close()
    })

    const newVm = async (options: { on?: boolean; cbt?: boolean } = {}): Promise<string> => {
      const vmId = await fixture.createVm(`conformance-${++vms}`, DISKS)
      if (options.cbt !== false) await driver.setCbt(vmId, 'enable')
      if (options.on !== false) await driver.power(vmId, 'on')
      return vmId
    }
    const areas = async (vmId: string, snapshotId: string, since: bigint, diskId = 'virtio0'): Promise<Extent[]> => {
      const diskSize = DISKS.find(disk => disk.id === diskId)?.size ?? 0
      const extents = (await collect(driver.changedAreas({ vmId, diskId, snapshotId, since, diskSize }))).flat()
      let end = 0
      for (const { offset, length } of extents) {
        expect(offset).toBeGreaterThanOrEqual(end)
        expect(length).toBeGreaterThan(0)
        end = offset + length
      }
      expect(end).toBeLessThanOrEqual(diskSize)
      return extents
    }
    const withLease = async (vmId: string, type: 'backup' | 'restore', use: (leaseId: string) => Promise<void>): Promise<void> => {
      const { id } = await driver.createLease(vmId, type, LEASE_SECONDS)
      try {
        await use(id)
      } finally {
        await driver.releaseLease(id)
      }
    }

    test('it has a version', async () => {
      expect(await driver.version()).toMatch(/\S/)
    })

    test('wrong credentials are PLATFORM_AUTH_FAILED', async () => {
      const stranger = await fixture.openWithWrongCredentials()
      try {
        expect(await codeOf(stranger.version())).toBe('PLATFORM_AUTH_FAILED')
      } finally {
        await stranger.close()
      }
    })

    test('a VM is listed and told alike, with exact disk sizes', async () => {
      const vmId = await newVm({ on: false, cbt: false })
      const listed = (await collect(driver.listVms())).filter(({ id }) => id === vmId)
      const vm = await driver.getVm(vmId)
      expect(listed).toEqual([vm])
      expect(vm).toMatchObject<Partial<PlatformVm>>({ id: vmId, name: `conformance-${vms}`, power: 'off', busy: false, exclusions: [] })
      expect(vm.disks.map(({ id, size }) => ({ id, size }))).toEqual(DISKS)
    })

    test('what is not there is not found', async () => {
      const vmId = await newVm({ on: false, cbt: false })
      for (const id of ['00000000-0000-4000-8000-000000000000', '../../etc', '']) {
        expect(await codeOf(driver.getVm(id))).toBe('VM_NOT_FOUND')
        expect(await codeOf(driver.createLease(id, 'backup', LEASE_SECONDS))).toBe('VM_NOT_FOUND')
        expect(await codeOf(driver.createSnapshot(id, 'x'))).toBe('VM_NOT_FOUND')
      }
      expect(await codeOf(driver.getSnapshot(vmId, '00000000-0000-4000-8000-000000000000'))).toBe('SNAPSHOT_NOT_FOUND')
      expect(await codeOf(driver.getLease('00000000-0000-4000-8000-000000000000:00000000-0000-4000-8000-000000000000'))).toBe('LEASE_LOST')
    })

    test('CBT is switched for all disks or some', async () => {
      const vmId = await newVm({ cbt: false })
      const states = async (): Promise<unknown> => Object.fromEntries((await driver.cbtStatus(vmId)).disks.map(d => [d.id, d.enabled]))
      expect(await driver.cbtStatus(vmId)).toMatchObject({ enabled: false })
      expect(await states()).toEqual({ virtio0: false, virtio1: false })
      await driver.setCbt(vmId, 'enable', ['virtio1'])
      expect(await driver.cbtStatus(vmId)).toMatchObject({ enabled: true })
      expect(await states()).toEqual({ virtio0: false, virtio1: true })
      await driver.setCbt(vmId, 'enable')
      expect(await states()).toEqual({ virtio0: true, virtio1: true })
      await driver.setCbt(vmId, 'disable')
      expect(await driver.cbtStatus(vmId)).toMatchObject({ enabled: false })
    })

    test('a snapshot is made once per name, found by prefix, and deleted as often as one likes', async () => {
      const vmId = await newVm()
      const [first, again] = [await driver.createSnapshot(vmId, 'varve-a'), await driver.createSnapshot(vmId, 'varve-a')]
      expect(again.id).toBe(first.id)
      expect(first.name).toBe('varve-a')
      expect(first.checkpointId).toBeGreaterThan(0n)
      expect(first.disks.map(({ id, size }) => ({ id, size }))).toEqual(DISKS)
      // Where a platform tells disks apart, no two are the same.
      const identities = first.disks.flatMap(({ identity }) => (identity === undefined ? [] : [identity]))
      expect(new Set(identities).size).toBe(identities.length)
      expect(Number.isNaN(Date.parse(first.createdAt))).toBe(false)
      const other = await driver.createSnapshot(vmId, 'other')
      expect((await driver.listSnapshots(vmId, 'varve-')).map(({ id }) => id)).toEqual([first.id])
      expect(await driver.getSnapshot(vmId, first.id)).toEqual(first)
      for (const { id } of [first, first, other]) await driver.deleteSnapshot(vmId, id)
      expect(await driver.listSnapshots(vmId, '')).toEqual([])
      expect(await codeOf(driver.getSnapshot(vmId, first.id))).toBe('SNAPSHOT_NOT_FOUND')
    })

    test('changed areas name what was written, and nothing far from it', async () => {
      const vmId = await newVm()
      await fixture.guestWrite(vmId, 'virtio0', 5 * GRANULARITY + 100, bytes(10, 1))
      const first = await driver.createSnapshot(vmId, 'first')
      const full = await areas(vmId, first.id, 0n)
      expect(covers(full, 5 * GRANULARITY + 100, 10)).toBe(true)
      expect(totalLength(full)).toBeLessThan(DISKS[0].size / 2)
      await driver.deleteSnapshot(vmId, first.id)

      await fixture.guestWrite(vmId, 'virtio0', 100 * GRANULARITY - 3, bytes(6, 2))
      await fixture.guestWrite(vmId, 'virtio1', DISKS[1].size - 512, bytes(512, 3))
      const second = await driver.createSnapshot(vmId, 'second')
      expect(second.checkpointId).toBeGreaterThan(first.checkpointId)
      const changed = await areas(vmId, second.id, first.checkpointId)
      expect(covers(changed, 100 * GRANULARITY - 3, 6)).toBe(true)
      expect(totalLength(changed)).toBe(2 * GRANULARITY)
      expect(covers(await areas(vmId, second.id, first.checkpointId, 'virtio1'), DISKS[1].size - 512, 512)).toBe(true)
      await driver.deleteSnapshot(vmId, second.id)

      const third = await driver.createSnapshot(vmId, 'third')
      expect(await areas(vmId, third.id, second.checkpointId)).toEqual([])
      expect(totalLength(await areas(vmId, third.id, first.checkpointId))).toBe(2 * GRANULARITY)
      await driver.deleteSnapshot(vmId, third.id)
    })

    test('after a reset the old checkpoint is CBT_EXPIRED, 0 still works', async () => {
      const vmId = await newVm()
      await fixture.guestWrite(vmId, 'virtio0', 0, bytes(512, 1))
      const before = await driver.createSnapshot(vmId, 'before')
      await driver.deleteSnapshot(vmId, before.id)
      await driver.setCbt(vmId, 'reset')
      const after = await driver.createSnapshot(vmId, 'after')
      expect(await codeOf(areas(vmId, after.id, before.checkpointId))).toBe('CBT_EXPIRED')
      expect(covers(await areas(vmId, after.id, 0n), 0, 512)).toBe(true)
      await driver.deleteSnapshot(vmId, after.id)
    })

    test('without CBT a snapshot has no checkpoint and a question for changes is CBT_DISABLED', async () => {
      const vmId = await newVm({ cbt: false })
      const snapshot = await driver.createSnapshot(vmId, 'plain')
      expect(snapshot.checkpointId).toBe(0n)
      expect(await codeOf(areas(vmId, snapshot.id, (1n << 32n) | 1n))).toBe('CBT_DISABLED')
      await driver.deleteSnapshot(vmId, snapshot.id)
    })

    test('one lease at a time; renewed, released, lost', async () => {
      const vmId = await newVm()
      const lease = await driver.createLease(vmId, 'backup', LEASE_SECONDS)
      expect(lease).toMatchObject({ vmId, status: 'running' })
      expect(lease.remainSeconds).toBeGreaterThan(LEASE_SECONDS - 10)
      expect(lease.remainSeconds).toBeLessThanOrEqual(LEASE_SECONDS)
      expect(await codeOf(driver.createLease(vmId, 'backup', LEASE_SECONDS))).toBe('LEASE_OCCUPIED')
      await driver.renewLease(lease.id, 2 * LEASE_SECONDS)
      expect((await driver.getLease(lease.id)).remainSeconds).toBeGreaterThan(LEASE_SECONDS)
      await driver.releaseLease(lease.id)
      await driver.releaseLease(lease.id)
      expect(await codeOf(driver.renewLease(lease.id, LEASE_SECONDS))).toBe('LEASE_LOST')
      expect(await codeOf(driver.diskAddress(lease.id, 'virtio0'))).toBe('LEASE_LOST')
      await withLease(vmId, 'backup', async () => {})
    })

    test('a lease is found again under its client token while it lives', async () => {
      const vmId = await newVm()
      const token = `lease-${vmId}`
      const create = (): Promise<Lease> => driver.createLease(vmId, 'backup', LEASE_SECONDS, undefined, token)
      const first = await create()
      expect((await create()).id).toBe(first.id)
      await driver.releaseLease(first.id)
      const second = await create()
      expect(second.id).not.toBe(first.id)
      expect(second.status).toBe('running')
      await driver.releaseLease(second.id)
    })

    test('a snapshot is read as it was, whatever the guest writes', async () => {
      const vmId = await newVm()
      await fixture.guestWrite(vmId, 'virtio0', 0, bytes(4096, 1))
      const snapshot = await driver.createSnapshot(vmId, 'still')
      await withLease(vmId, 'backup', async leaseId => {
        const address = await driver.diskAddress(leaseId, 'virtio0', snapshot.id)
        await fixture.guestWrite(vmId, 'virtio0', 0, bytes(4096, 2))
        expect(Buffer.compare(await fixture.readDisk(address, 0, 4096), bytes(4096, 1))).toBe(0)
        await expect(fixture.writeDisk(address, 0, bytes(512, 3))).rejects.toThrow()
      })
      await driver.deleteSnapshot(vmId, snapshot.id)
    })

    test('a disk is written under a restore lease, for which the VM is off', async () => {
      const vmId = await newVm()
      expect(await codeOf(driver.createLease(vmId, 'restore', LEASE_SECONDS))).toBe('VM_NOT_OFF')
      await driver.power(vmId, 'off')
      await withLease(vmId, 'restore', async leaseId => {
        await fixture.writeDisk(await driver.diskAddress(leaseId, 'virtio0'), MiB, bytes(4096, 7))
      })
      await driver.power(vmId, 'on')
      const snapshot = await driver.createSnapshot(vmId, 'restored')
      await withLease(vmId, 'backup', async leaseId => {
        const address = await driver.diskAddress(leaseId, 'virtio0', snapshot.id)
        expect(Buffer.compare(await fixture.readDisk(address, MiB, 4096), bytes(4096, 7))).toBe(0)
      })
      await driver.deleteSnapshot(vmId, snapshot.id)
    })

    test('a VM is made again from its saved configuration, once per client token', async () => {
      const vmId = await newVm()
      const { config } = await driver.createSnapshot(vmId, 'kept')
      // What is kept goes through a catalog and a manifest.
      const saved = JSON.parse(JSON.stringify(config)) as typeof config
      const token = `token-${vmId}`
      const accepted: string[] = []
      const copy = await driver.createVm(saved, 'conformance-copy', token, undefined, id => void accepted.push(id))
      expect(accepted).toEqual([copy])
      expect(await driver.createVm(saved, 'conformance-copy', token)).toBe(copy)
      const vm = await driver.getVm(copy)
      expect(vm).toMatchObject({ name: 'conformance-copy', power: 'off' })
      expect((await collect(driver.listVms())).filter(listed => carriesToken(listed, token)).map(({ id }) => id)).toEqual([copy])
      expect(vm.disks.map(({ id, size }) => ({ id, size }))).toEqual(DISKS)

      await driver.editVm(copy, saved)
      expect((await driver.getVm(copy)).name).toBe('conformance-copy')
      await driver.deleteVm(copy)
      await driver.deleteVm(copy)
      expect(await codeOf(driver.getVm(copy))).toBe('VM_NOT_FOUND')
    })

    test('power is switched, also to where it is', async () => {
      const vmId = await newVm({ on: false, cbt: false })
      for (const state of ['on', 'on', 'off', 'off'] as const) {
        await driver.power(vmId, state)
        expect((await driver.getVm(vmId)).power).toBe(state)
      }
    })

    test('an aborted signal ends a call with its reason', async () => {
      await expect(driver.version(AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough')
    })
  })
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
    return 'no error'
  } catch (error) {
    return error instanceof PlatformError ? error.code : error
  }
}

function bytes(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value)
}

function covers(extents: readonly Extent[], offset: number, length: number): boolean {
  return extents.some(e => e.offset <= offset && e.offset + e.length >= offset + length)
}
