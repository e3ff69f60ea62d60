import { mkdir } from 'node:fs/promises'
import { connectNbd, type NbdClient } from '@varve/nbd'
import { openPlatform, type PlatformDriver } from '@varve/platform'
import { type Closer, createLogger } from '@varve/runtime'
import { type PlatformUnderTest, startPlatform, vmConfig } from '../support/system.ts'

/** The reference platform as a process, and what a guest and an administrator do to it. */
export interface BenchPlatform {
  readonly under: PlatformUnderTest
  readonly pid: number
  readonly driver: PlatformDriver
  vmNamed(name: string): Promise<string>
  /** Empty disks `virtio0`, `virtio1`, …; powered on. */
  createVm(name: string, sizes: readonly number[]): Promise<string>
  /** A restored VM takes room in memory. */
  removeVm(platformVmId: string): Promise<void>
  /** The live disk. */
  guest(platformVmId: string, diskId?: string): Promise<NbdClient>
  /** The same for other tools. */
  guestUri(platformVmId: string, diskId?: string): string
}

/** `image`: the disk of a VM `bench`. */
export async function startBenchPlatform(folder: string, closer: Closer, image?: string): Promise<BenchPlatform> {
  await mkdir(folder, { recursive: true })
  const under = await startPlatform(folder, image === undefined ? [] : ['--import', image, '--name', 'bench'])
  closer.add('platform', () => under.stop())
  const access = { id: 'bench', kind: 'scp', url: under.url, credentials: under.credentials } as const
  const driver = await openPlatform(access, { log: createLogger('bench', 'silent') })
  closer.add('driver', () => driver.close())
  return {
    under,
    pid: under.process.pid!,
    driver,
    async vmNamed(name) {
      for await (const vm of driver.listVms()) if (vm.name === name) return vm.id
      throw new Error(`the platform has no VM ${name}`)
    },
    async createVm(name, sizes) {
      const disks = sizes.map((size, n) => ({ id: `virtio${n}`, size }))
      const id = await driver.createVm(vmConfig(name, disks), name, `bench-${name}`)
      await driver.power(id, 'on')
      return id
    },
    removeVm: id => driver.deleteVm(id),
    guest: (id, diskId = 'virtio0') => connectNbd({ path: under.guestSocket, exportName: `${id}/${diskId}` }),
    guestUri: (id, diskId = 'virtio0') => `nbd+unix:///${id}/${diskId}?socket=${under.guestSocket}`,
  }
}
