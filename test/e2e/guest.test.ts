import { join } from 'node:path'
import type { Run } from '@varve/catalog-client'
import { MiB } from '@varve/runtime'
import { expect, test } from 'vitest'
import { bootGuest, type Guest } from '../support/guest/guest.ts'
import { guestImage } from '../support/guest/image.ts'
import { type System, startPlatform, startSystem } from '../support/system.ts'
import { missingTool, runTool } from '../support/tools.ts'

/** A restore point and the sums of the files that were synced before its snapshot was asked for. */
interface Layer {
  readonly run: Run
  readonly sums: string
}

test('a Linux guest is backed up while it works, through kill -9 of QEMU and of the platform, and every point boots', async ctx => {
  const image = await guestImage()
  if ('missing' in image) return ctx.skip(image.missing)
  const missing = missingTool('e2fsck', 'nbdcopy')
  if (missing !== undefined) return ctx.skip(missing)

  const system = await startSystem()
  let guest: Guest | undefined
  let platform = system.platform
  try {
    const { vmId, platformVmId } = await system.createVm('guest-1', [{ id: 'virtio0', size: 256 * MiB }])
    const disk = { socket: platform.guestSocket, exportName: `${platformVmId}/virtio0` }
    const layers: Layer[] = []
    const backUp = async (running: Guest): Promise<void> => {
      await running.run('sync')
      const sums = await running.run('sums')
      await running.run('churn on')
      const run = await system.backup(vmId)
      await running.run('churn off')
      expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
      layers.push({ run, sums })
    }

    guest = await bootGuest(image, join(system.folder, 'guest-a'), disk)
    await guest.run('disk')
    await guest.run('fill 1 12 400; random r-1 6000; random r-2 3000')
    await backUp(guest)
    expect(layers[0]?.run.images[0]).toMatchObject({ kind: 'full', reason: 'first' })

    await guest.run('fill 1 3 400; random r-2 3500; rm /mnt/a-1-5 /mnt/a-1-6; fill 2 4 300; sync; fstrim /mnt')
    await backUp(guest)
    expect(layers[1]?.run.images[0]).toMatchObject({ kind: 'incremental', reason: null })
    expect(layers[1]!.run.totals.read).toBeLessThan(layers[0]!.run.totals.read * 4)

    // The platform dies under load and comes back; QEMU connects again by itself and no acknowledged byte is missing.
    await guest.run('churn on')
    await platform.stop('SIGKILL')
    platform = await startPlatform(join(system.folder, 'platform'), [], Number(new URL(platform.url).port))
    system.closer.add('platform again', () => platform.stop())
    await guest.run('churn off')
    await guest.run('sync')
    await guest.run('drop() { echo 3 > /proc/sys/vm/drop_caches; }; drop')
    expect(await guest.run('sums')).toBe(layers[1]!.sums)

    // A power cut of the guest under load: what was synced is there after the boot.
    await guest.run('random r-3 2000; rm /mnt/r-1; sync')
    const synced = await guest.run('sums')
    await guest.run('churn on')
    await guest.kill()
    guest = await bootGuest(image, join(system.folder, 'guest-b'), disk)
    await guest.run('disk')
    expect(await guest.run('sums')).toBe(synced)
    await backUp(guest)
    await guest.powerOff()
    guest = undefined

    for (const [index, layer] of layers.entries()) await expectLayer(system, layer, index, platform.guestSocket, image)
  } finally {
    await guest?.kill()
    await system.close()
  }
}, 240_000)

/** Restore the point to a new VM; its file system is clean once the journal is replayed; it boots, and every synced file has its sum. */
async function expectLayer(
  system: System,
  layer: Layer,
  index: number,
  socket: string,
  image: { kernel: string; initrd: string },
): Promise<void> {
  const restore = await system.restore(layer.run.restorePointId!, { target: 'new-vm', name: `guest-restored-${index}`, powerOn: true })
  expect(restore, JSON.stringify(restore)).toMatchObject({ state: 'succeeded' })
  const exportName = `${restore.targetPlatformVmId}/virtio0`

  const file = join(system.folder, `guest-restored-${index}.raw`)
  await runTool('nbdcopy', [`nbd+unix:///${exportName}?socket=${socket}`, file])
  // -p replays the journal as a boot would and gives 1 for "mended"; the check after it must find nothing.
  await runTool('e2fsck', ['-fp', file]).catch((error: { code?: number }) => {
    if (error.code !== 1) throw error
  })
  await runTool('e2fsck', ['-fn', file])

  const guest = await bootGuest(image, join(system.folder, `guest-${index}`), { socket, exportName })
  try {
    await guest.run('disk')
    expect(await guest.run('sums')).toBe(layer.sums)
  } finally {
    await guest.powerOff()
  }
}
