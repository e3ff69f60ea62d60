import type { ChildProcess } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { MiB } from '@varve/runtime'
import { noise } from '../../support/pattern.ts'
import { type BenchPlatform, startBenchPlatform } from '../bench-platform.ts'
import { holdTo, requireTaskset } from '../cores.ts'
import { endChild } from '../end-child.ts'
import { type Measured, measureProcesses } from '../measure.ts'
import { type OurProcesses, runSeconds, startOurProcesses } from '../our-system.ts'
import { times } from '../samples.ts'
import { Skip } from '../skip.ts'
import type { Subject } from '../subject.ts'
import { atLeast } from '../targets.ts'

const ONE_CORE = 'full to directory, 1 reader on 1 core'
const TWO_CORES = 'full to directory, 2 readers on 2 cores'
const oneOf = (readers: number): string => `full over connections of 8 MiB/s, ${readers} reader${readers === 1 ? '' : 's'}`
const READERS = 8
const RATE = 8 * MiB

/**
 * More readers, more done.
 *
 * With one core and with two: the reader and what feeds it (the platform's NBD server) share the cores, else the first case would have the second core for its
 * server and the second case would not. And with connections that carry 8 MiB a second (the platform's limit), one disk a reader, where nothing but the system itself
 * can keep eight readers from eight times one's rate.
 */
export const scaling: Subject = {
  name: 'scaling',
  about: '1 reader on 1 core against 2 on 2; 8 readers against 1 where each connection has its limit',
  quickRounds: 1,

  async open(parts) {
    requireTaskset()
    if (availableParallelism() < 2) throw new Skip('there is only one core')
    const folder = join(parts.folder, 'scaling')
    const platform = await startBenchPlatform(join(folder, 'hci'), parts.closer, parts.disk.path)
    const options = { folder, platform, repository: `file://${join(folder, 'repository')}`, env: {} }
    const ours = await startOurProcesses(options, parts.closer, { readers: 0, writers: 0 })
    const sizeEach = (parts.settings.quick ? 32 : 128) * MiB
    const vms = {
      bench: await ours.vmId(await platform.vmNamed('bench')),
      one: await ours.vmId(await noisyVm(platform, 'one', 1, sizeEach)),
      many: await ours.vmId(await noisyVm(platform, 'many', READERS, sizeEach)),
    }
    const limit = (bytesPerSecond: number | null): Promise<unknown> =>
      ours.call('PATCH', `/v1/platforms/${ours.platformId}`, { limits: { bytesPerSecond } })
    const measureFull = (readers: readonly ChildProcess[], vmId: string): Promise<Measured> => fullBy(ours, platform, readers, vmId)
    return async () => {
      for (const [name, count, cores] of [
        [ONE_CORE, 1, '0'],
        [TWO_CORES, 2, '0,1'],
      ] as const) {
        await withReaders(ours, count, async readers => {
          await holdTo(cores, [platform.pid, ...readers.map(({ pid }) => pid!)])
          await parts.sample(name, () => measureFull(readers, vms.bench))
        })
        await holdTo(`0-${availableParallelism() - 1}`, [platform.pid])
      }
      await limit(RATE)
      for (const count of [1, READERS])
        await withReaders(ours, count, readers => parts.sample(oneOf(count), () => measureFull(readers, count === 1 ? vms.one : vms.many)))
      await limit(null)
      // All are fulls: nothing is built on these, and memory is short.
      await rm(join(folder, 'repository', 'packs'), { recursive: true })
    }
  },

  targets: samples => {
    const speed = samples.ratio(oneOf(READERS), oneOf(1), 'mibs')
    return [
      atLeast('2 readers on 2 cores against 1 on 1', samples.ratio(ONE_CORE, TWO_CORES), 1.7, 'x'),
      atLeast(`efficiency of ${READERS} readers over limited connections`, times(speed, 1 / READERS), 0.9, 'x'),
    ]
  },
}

async function noisyVm(platform: BenchPlatform, name: string, disks: number, size: number): Promise<string> {
  const id = await platform.createVm(
    name,
    Array.from({ length: disks }, () => size),
  )
  for (let n = 0; n < disks; n++) {
    const guest = await platform.guest(id, `virtio${n}`)
    for (let at = 0; at < size; at += 16 * MiB) await guest.write(at, noise(`${name} ${n} ${at}`, 16 * MiB))
    await guest.flush()
    await guest.close()
  }
  return id
}

/** Readers of one lane each, for the time being. */
async function withReaders(ours: OurProcesses, count: number, act: (readers: readonly ChildProcess[]) => Promise<void>): Promise<void> {
  const readers: ChildProcess[] = []
  try {
    for (let n = 0; n < count; n++) readers.push(await ours.services.start('block-reader', { VARVE_LANES: '1' }))
    await ours.services.ready()
    await act(readers)
  } finally {
    await Promise.all(readers.map(endChild))
  }
}

async function fullBy(ours: OurProcesses, platform: BenchPlatform, readers: readonly ChildProcess[], vmId: string): Promise<Measured> {
  const own = readers.map(({ pid }) => pid!)
  const { measured, result: run } = await measureProcesses({ own, servers: [platform.pid] }, () => ours.backup(vmId, { full: true }))
  const wall = runSeconds(run)
  return { ...measured, wall, read: run.totals.read, mibs: run.totals.read / MiB / wall }
}
