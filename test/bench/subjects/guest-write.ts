import { join } from 'node:path'
import { GiB, MiB } from '@varve/runtime'
import { noise } from '../../support/pattern.ts'
import { startBenchPlatform } from '../bench-platform.ts'
import { type FioJob, requireFio, runFio } from '../fio.ts'
import type { Subject } from '../subject.ts'
import { atLeast } from '../targets.ts'

const JOBS: readonly FioJob[] = [
  { name: '4 KiB random', pattern: 'randwrite', blockSize: '4k', depth: 16 },
  { name: '1 MiB sequential', pattern: 'write', blockSize: '1M', depth: 4 },
]
const STATES = ['off', 'on'] as const
const nameOf = (job: string, state: string): string => `guest writes, ${job}: CBT ${state}`

/**
 * What tracking costs the guest: two disks of one server, all written before, one of them tracked. Each round begins with a clean bitmap, as after a backup,
 * so that the first write to each granule pays for its bit.
 */
export const guestWrite: Subject = {
  name: 'guest-write',
  about: "the guest's writes with CBT on and off, fio over NBD",
  quickRounds: 1,

  async open(parts) {
    const fio = await requireFio()
    const size = parts.settings.quick ? GiB / 4 : GiB
    const seconds = parts.settings.quick ? 2 : 5
    const platform = await startBenchPlatform(join(parts.folder, 'guest-write'), parts.closer)
    const vms = { off: await platform.createVm('off', [size]), on: await platform.createVm('on', [size]) }
    const bytes = noise('guest', 16 * MiB)
    for (const vm of Object.values(vms)) {
      const guest = await platform.guest(vm)
      for (let at = 0; at < size; at += bytes.length) await guest.write(at, bytes)
      await guest.flush()
      await guest.close()
    }
    await platform.driver.setCbt(vms.on, 'enable')
    return async round => {
      for (const job of JOBS) {
        for (const state of round % 2 === 0 ? STATES.toReversed() : STATES) {
          const vm = vms[state]
          const snapshot = await platform.driver.createSnapshot(vm, `bench-${round}`)
          await platform.driver.deleteSnapshot(vm, snapshot.id)
          await parts.sample(nameOf(job.name, state), () =>
            runFio(fio, platform.guestUri(vm), job, { seconds, size, servers: [platform.pid] }),
          )
        }
      }
    }
  },

  targets: samples =>
    JOBS.map(({ name }) =>
      atLeast(`guest writes, ${name}: CBT on against off`, samples.ratio(nameOf(name, 'on'), nameOf(name, 'off'), 'mibs'), 0.85, 'x'),
    ),
}
