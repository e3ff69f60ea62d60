import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Run } from '@varve/catalog-client'
import type { PlatformVm } from '@varve/platform'
import { MiB } from '@varve/runtime'
import { expect } from 'vitest'
import { firstDifference } from './compare-export.ts'
import { makeFilesystemImage } from './filesystem-image.ts'
import { copySnapshot } from './snapshot-copy.ts'
import { type System, type SystemOptions, startSystem } from './system.ts'
import { findTool, runTool } from './tools.ts'

/**
 * The main job on a real file system: import an image, full backup, then another program rewrites the live disk through NBD while two incrementals
 * run; each point is restored to a new VM and compared with a copy of its snapshot that `nbdcopy` took.
 */
export async function filesystemStory(options: SystemOptions = {}): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-filesystem-'))
  let system: System | undefined
  try {
    const image = await makeFilesystemImage(folder, 640 * MiB, 220 * MiB)
    // No block-reader at first: it is started when the snapshot has been copied.
    const standalone = { ...options.standalone, withoutBlockReader: true }
    system = await startSystem({ ...options, standalone, platformArgs: ['--import', image, '--name', 'files-1'] })
    await story(system, image)
  } finally {
    await system?.close()
    await rm(folder, { recursive: true, force: true })
  }
}

async function story(system: System, image: string): Promise<void> {
  const { id: imported } = await onlyVm(system)
  const vmId = await system.vmId(imported)

  const points: { run: Run; copy: string }[] = []
  const backup = async (): Promise<void> => {
    const started = await system.startBackup(vmId)
    const copies = await copySnapshot(system, started.id, system.folder)
    const reader = await system.varve.startBlockReader()
    try {
      const run = await system.ended(started)
      expect(run, JSON.stringify(run)).toMatchObject({ state: 'succeeded' })
      points.push({ run, copy: [...copies.values()][0]! })
    } finally {
      await reader.close()
    }
  }

  await backup()
  expect(points[0]?.run.images[0]).toMatchObject({ kind: 'full', reason: 'first' })
  // The image as it was imported is what the first snapshot showed.
  expect(await sameFile(image, points[0]!.copy)).toBe(true)

  const writer = rewriteWithFio(system, imported)
  try {
    for (const [index, offset] of ['64m', '96m'].entries()) {
      // Some writes that have surely ended, besides those that go on.
      await runTool('fio', fioArguments(system, imported, '--size=6m', `--offset=${offset}`, `--randseed=${index}`))
      await backup()
    }
  } finally {
    writer.kill('SIGTERM')
    await once(writer, 'exit')
  }
  for (const { run } of points.slice(1)) {
    expect(run.images[0]).toMatchObject({ kind: 'incremental', reason: null })
    expect(run.totals.read).toBeLessThan(points[0]!.run.totals.read)
  }

  const reader = await system.varve.startBlockReader()
  try {
    for (const [index, { run, copy }] of points.entries()) {
      const restore = await system.restore(run.restorePointId!, { target: 'new-vm', name: `restored-${index}`, powerOn: true })
      expect(restore, JSON.stringify(restore)).toMatchObject({ state: 'succeeded' })
      const disk = await system.guest(restore.targetPlatformVmId!, 'virtio0')
      expect(await firstDifference(disk, copy)).toBeNull()
      if (index === 0) {
        const file = join(system.folder, 'restored.raw')
        await runTool('nbdcopy', [`nbd+unix:///${restore.targetPlatformVmId}%2Fvirtio0?socket=${system.platform.guestSocket}`, file])
        await runTool('e2fsck', ['-fn', file])
        await rm(file)
      }
    }
  } finally {
    await reader.close()
  }
}

async function onlyVm(system: System): Promise<PlatformVm> {
  for await (const vm of system.driver.listVms()) return vm
  throw new Error('the import made no VM')
}

/** fio rewrites random 64 KiB pieces of the first half of the live disk: another program, another NBD client. */
function fioArguments(system: System, platformVmId: string, ...more: string[]): string[] {
  const uri = `nbd+unix:///${platformVmId}%2Fvirtio0?socket=${system.platform.guestSocket}`
  return ['--name=rewrite', '--ioengine=nbd', `--uri=${uri}`, '--rw=randwrite', '--bs=64k', '--iodepth=4', ...more]
}

/** Until it is stopped. */
function rewriteWithFio(system: System, platformVmId: string): ChildProcess {
  const more = ['--size=160m', '--offset=32m', '--rate_iops=60', '--time_based', '--runtime=120', '--randseed=7']
  return spawn(findTool('fio') ?? 'fio', fioArguments(system, platformVmId, ...more), { stdio: 'ignore' })
}

async function sameFile(a: string, b: string): Promise<boolean> {
  if ((await stat(a)).size !== (await stat(b)).size) return false
  return runTool('cmp', [a, b]).then(
    () => true,
    () => false,
  )
}
