import { connectNbd } from '@varve/nbd'
import { MiB } from '@varve/runtime'
import { vmConfig } from '../../support/system.ts'
import type { Random } from './random.ts'
import { firstRecorded, firstWrong, GRANULE, granuleBytes, type Truth, Twin } from './twin.ts'
import type { World } from './world.ts'

/** Four pages of the block map each, so that a run has eight ranges. */
const DISK_SIZE = 1024 * MiB
const PAGE = 256 * MiB
const DISKS = ['virtio0', 'virtio1'] as const
/** Granules in a row that the first filling writes in each page: 3 MiB. */
const FIRST_GRANULES = 48

/** By disk. */
export type VmTruth = ReadonlyMap<string, Truth>

/** A VM whose every byte is known. */
export interface GuestVm {
  readonly vmId: string
  readonly platformVmId: string
  readonly name: string
  /** What its disks hold now. */
  truth(): VmTruth
  /** Write in every page of every disk: mostly over what is there, some elsewhere. */
  change(random: Random): Promise<void>
  /** Another, empty disk comes in the place of one; the platform goes on tracking as if it were the same. */
  replaceDisk(diskId: string): Promise<void>
  /** Its disks hold this: they were restored. */
  isAgain(truth: VmTruth): void
}

export async function makeVm(world: World, name: string): Promise<GuestVm> {
  const platformVmId = await world.driver.createVm(
    vmConfig(
      name,
      DISKS.map(id => ({ id, size: DISK_SIZE })),
    ),
    name,
    `fault-${name}`,
  )
  await world.driver.power(platformVmId, 'on')
  const twins = new Map<string, Twin>(DISKS.map(id => [id, new Twin(DISK_SIZE)]))
  let version = 0
  const write = async (granulesOf: (page: number) => number[]): Promise<void> => {
    version += 1
    for (const [diskId, twin] of twins) {
      const disk = await connectNbd({ path: world.platform.guestSocket, exportName: `${platformVmId}/${diskId}` })
      try {
        for (let page = 0; page < DISK_SIZE / PAGE; page += 1) {
          for (const granule of granulesOf(page)) {
            const seed = `${name}/${diskId}/${granule}/${version}`
            await disk.write(granule * GRANULE, granuleBytes(seed))
            twin.set(granule, seed)
          }
        }
        await disk.flush()
      } finally {
        await disk.close()
      }
    }
  }
  const perPage = PAGE / GRANULE
  await write(page => Array.from({ length: FIRST_GRANULES }, (_, i) => page * perPage + i))
  await world.api('POST', `/v1/platforms/${world.platformId}/sync`, {})
  const { items } = await world.api<{ items: { id: string; platformVmId: string }[] }>('GET', '/v1/vms?limit=500')
  const vmId = items.find(item => item.platformVmId === platformVmId)?.id
  if (vmId === undefined) throw new Error(`VM ${name} is not in the list`)
  return {
    vmId,
    platformVmId,
    name,
    truth: () => new Map([...twins].map(([id, twin]) => [id, twin.now()])),
    async replaceDisk(diskId) {
      await world.platformCall('POST', '/varve-test/replace-disk', { vm_id: platformVmId, disk_id: diskId })
      twins.set(diskId, new Twin(DISK_SIZE))
    },
    isAgain(truth) {
      for (const [diskId, granules] of truth) twins.set(diskId, new Twin(DISK_SIZE, granules))
    },
    change: random =>
      write(page => [
        ...Array.from({ length: 6 }, () => page * perPage + random.below(FIRST_GRANULES)),
        page * perPage + FIRST_GRANULES + random.below(perPage - FIRST_GRANULES),
      ]),
  }
}

/** Where the disks of a running VM are not as recorded; null when every byte is. */
export async function differenceOfVm(world: World, platformVmId: string, truth: VmTruth): Promise<string | null> {
  for (const [diskId, granules] of truth) {
    const disk = await connectNbd({ path: world.platform.guestSocket, exportName: `${platformVmId}/${diskId}` })
    try {
      const buffer = Buffer.alloc(4 * MiB)
      for (let offset = 0; offset < disk.size; offset += buffer.length) {
        const pieces = await disk.read(offset, buffer.length, buffer)
        const holes = pieces.filter(({ bytes }) => bytes === undefined)
        const empty = holes.length === pieces.length
        // Most of a disk was never written: that is told, not read.
        if (!empty) for (const hole of holes) buffer.fill(0, hole.offset - offset, hole.offset - offset + hole.length)
        const wrong = empty ? firstRecorded(granules, offset, buffer.length) : firstWrong(granules, offset, buffer)
        if (wrong !== null) return `${diskId} differs at ${wrong}`
      }
    } finally {
      await disk.close()
    }
  }
  return null
}
