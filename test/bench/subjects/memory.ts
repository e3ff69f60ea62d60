import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { TiB } from '@varve/runtime'
import { startBenchPlatform } from '../bench-platform.ts'
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

/** The most that each service, a process of its own at default settings, ever had: after the disk, and after a full and an incremental of one of 63 TiB. */
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
    const take = (disk: string): void => {
      for (const [service, child] of [...ours.services.children, ['platform', platform.under.process] as const])
        parts.samples.add(peakOf(disk, service), { wall: 0, cpu: 0, serverCpu: 0, otherCpu: 0, peak: treePeakMemory(child.pid!) })
    }
    return async () => {
      await ours.backup(await ours.vmId(await platform.vmNamed('bench')))
      take('the disk')
      const platformVmId = await makeSparseVm(platform, 'huge', 63 * TiB)
      const vmId = await ours.vmId(platformVmId)
      await ours.backup(vmId)
      await changeAllOver(platform, platformVmId, 'huge')
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
