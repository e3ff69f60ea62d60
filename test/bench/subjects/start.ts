import { setTimeout as sleep } from 'node:timers/promises'
import { KiB, MiB } from '@varve/runtime'
import { noise } from '../../support/pattern.ts'
import { measureProcesses } from '../measure.ts'
import { bytesReadBy } from '../process-usage.ts'
import type { Subject } from '../subject.ts'
import { atMost } from '../targets.ts'

const OURS = 'start: call to first byte copied'
/** So much has to be read from the disk to be sure that it is not the platform's own bookkeeping. */
const FIRST = 256 * KiB
const PATIENCE_MS = 30_000

/**
 * From the call of a backup to the moment when the platform has read the first of the disk's bytes for it. Seen from outside, every few milliseconds:
 * what the workers report comes twice a second.
 */
export const start: Subject = {
  name: 'start',
  about: 'from the API call of a backup to the first byte copied, standalone, warm',

  async open(parts) {
    const { platform, directory } = await parts.ours()
    const platformVmId = await platform.createVm('start', [64 * MiB])
    const vmId = await directory.vmId(platformVmId)
    const change = async (seed: string): Promise<void> => {
      const guest = await platform.guest(platformVmId)
      await guest.write(0, noise(seed, 16 * MiB))
      await guest.flush()
      await guest.close()
    }
    await change('first')
    await directory.backup(vmId)
    return async round => {
      await change(`round ${round}`)
      let seconds = Number.NaN
      await parts.sample(OURS, async () => {
        const { measured, result: run } = await measureProcesses({ own: [directory.pid], servers: [platform.pid] }, async () => {
          const before = bytesReadBy(platform.pid)
          const called = performance.now()
          const starting = directory.startBackup(vmId)
          starting.catch(() => {})
          while (bytesReadBy(platform.pid) - before < FIRST) {
            if (performance.now() - called > PATIENCE_MS) throw new Error('nothing was read')
            await sleep(2)
          }
          seconds = (performance.now() - called) / 1000
          return starting
        })
        await directory.ended(run)
        return { ...measured, wall: seconds }
      })
    }
  },

  targets: samples => [atMost('start to first byte copied', samples.median(OURS), 0.5, 's')],
}
