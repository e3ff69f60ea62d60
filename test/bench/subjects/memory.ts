import type { ChildProcess } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type PageRef, PageRefs, pageCount } from '@varve/block-map'
import { openRepository, openStore } from '@varve/repository'
import { TiB } from '@varve/runtime'
import { noise } from '../../support/pattern.ts'
import { startBenchPlatform } from '../bench-platform.ts'
import { endChild } from '../end-child.ts'
import { startOurProcesses } from '../our-system.ts'
import { treePeakMemory } from '../process-usage.ts'
import { times } from '../samples.ts'
import { changeAllOver, makeSparseVm } from '../sparse-disk.ts'
import type { Subject } from '../subject.ts'
import { atMost } from '../targets.ts'

const DISKS = ['the disk', '63 TiB'] as const
/** MB, of a million bytes. */
const LIMIT = 300
const MB = 1e6
const peakOf = (disk: string, service: string): string => `memory after ${disk}: ${service}`

/**
 * The most that each service, a process of its own at default settings, ever had: after the disk, and after a full and two incrementals of one of 63 TiB. Before the last
 * its block map is made that of a full disk.
 */
export const memory: Subject = {
  name: 'memory',
  about: 'peak memory of each service, reading the disk and planning one of 63 TiB',
  rounds: 1,

  async open(parts) {
    const folder = join(parts.folder, 'memory')
    await mkdir(folder, { recursive: true })
    const platform = await startBenchPlatform(join(folder, 'hci'), parts.closer, parts.disk.path)
    const options = { folder, platform, repository: `file://${join(folder, 'repository')}`, env: {} }
    const ours = await startOurProcesses(options, parts.closer, { readers: 1, writers: 1 })
    let plannerPeak = 0
    const add = (disk: string, service: string, child: ChildProcess): void => {
      const peak = Math.max(treePeakMemory(child.pid!), service === 'snapshot' ? plannerPeak : 0)
      parts.samples.add(peakOf(disk, service), { wall: 0, cpu: 0, serverCpu: 0, otherCpu: 0, peak })
    }
    const take = (disk: string): void => {
      const children = [...ours.services.children, ['platform', platform.under.process] as const]
      for (const [service, child] of children.filter(([, { exitCode }]) => exitCode === null))
        add(disk, service.replace(/-\d+$/, ''), child)
    }
    return async () => {
      await ours.backup(await ours.vmId(await platform.vmNamed('bench')))
      take('the disk')
      const platformVmId = await makeSparseVm(platform, 'huge', 63 * TiB)
      const vmId = await ours.vmId(platformVmId)
      await ours.backup(vmId)
      await changeAllOver(platform, platformVmId, 'huge')
      await ours.backup(vmId)
      // It remembers roots: another one goes on.
      const planner = ours.services.children.get('snapshot')!
      plannerPeak = treePeakMemory(planner.pid!)
      await endChild(planner)
      await fillRoot(options.repository, vmId)
      await ours.services.start('snapshot')
      await ours.services.ready()
      await changeAllOver(platform, platformVmId, 'again')
      await ours.backup(vmId)
      take('63 TiB')
    }
  },

  targets: samples => {
    const peaks = samples.names.filter(name => name.startsWith(peakOf('63 TiB', '')))
    const all = peaks.map(name => samples.median(name, 'peak')! / MB)
    return [
      ...DISKS.map(disk => {
        const peak = samples.median(peakOf(disk, 'block-reader'), 'peak')
        return atMost(`memory of a block-reader, ${disk}`, times(peak, 1 / MB), LIMIT, 'MB')
      }),
      atMost('memory of any process, 63 TiB', all.length === 0 ? undefined : Math.max(...all), LIMIT, 'MB'),
    ]
  },
}

/** Give the root of the newest point a page everywhere. Those that are new are named only, nobody may look at them. */
async function fillRoot(url: string, vmId: string): Promise<void> {
  const store = await openStore(url)
  const repository = await openRepository(store)
  const newest = (await repository.listManifests(vmId)).at(-1)!
  const { rootKey } = (await repository.getManifest(newest)).images[0]!
  const root = await repository.getRoot(rootKey)
  const any = { mapId: 'f'.repeat(32), offset: 32, length: 45_000, storedBlocks: 1024 }
  const pages = Array.from({ length: pageCount(root.diskSize, root.blockSize) }, (_, pageIndex): PageRef => {
    return root.pages.find(pageIndex) ?? { ...any, pageIndex, hash: noise(`page ${pageIndex}`, 32) }
  })
  await repository.putRoot({ ...root, pages: PageRefs.from(pages) })
  await store.close()
}
