import type { Prediction, Run } from '@varve/catalog-client'
import { KiB, MiB } from '@varve/runtime'
import { noise } from '../../support/pattern.ts'
import { measureProcesses } from '../measure.ts'
import type { OurSystem } from '../our-system.ts'
import type { Subject } from '../subject.ts'
import { atMost } from '../targets.ts'

type Told = Run & { readonly prediction: Prediction | null }

const KINDS = ['incremental', 'full', 'restore'] as const
const nameOf = (kind: (typeof KINDS)[number]): string => `prediction: ${kind}, third run or later`
const SIZE = 512 * MiB
const PIECE = 64 * KiB
/** With less than three there is little to go by. */
const RUNS_BEFORE = 2

/** How far a preview is from what the run then does. `error`: the part of its time that it was off by; `bytesOff`: bytes read that were not predicted. */
export const prediction: Subject = {
  name: 'prediction',
  about: 'previews of backups and restores against what they then read and take, from the third run on',

  async open(parts) {
    const { platform, directory } = await parts.ours()
    const platformVmId = await platform.createVm('prediction', [SIZE])
    const vmId = await directory.vmId(platformVmId)
    let version = 0
    const write = async (pieces: number): Promise<void> => {
      version += 1
      const guest = await platform.guest(platformVmId)
      for (let i = 0; i < pieces; i++) {
        const piece = (i * 7919 + version) % (SIZE / PIECE)
        await guest.write(piece * PIECE, noise(`version ${version}, piece ${i}`, PIECE))
      }
      await guest.flush()
      await guest.close()
    }
    let point = ''
    const once = async (kind: (typeof KINDS)[number]): Promise<{ readonly error: number; readonly bytesOff: number }> => {
      if (kind === 'restore') {
        const found = await compared(directory, `/v1/restore-points/${point}/restores`, { target: 'new-vm', name: `prediction-${version}` })
        await platform.removeVm(found.run.targetPlatformVmId ?? '')
        return found
      }
      const found = await compared(directory, `/v1/vms/${vmId}/backups`, { full: kind === 'full' })
      point = found.run.restorePointId ?? ''
      return found
    }
    await write(SIZE / PIECE / 2)
    for (let n = 0; n < RUNS_BEFORE; n++) {
      for (const kind of KINDS) {
        await write(80)
        await once(kind)
      }
    }
    return async () => {
      for (const kind of KINDS) {
        await write(80)
        await parts.sample(nameOf(kind), async () => {
          const { measured, result } = await measureProcesses({ own: [directory.pid], servers: [platform.pid] }, () => once(kind))
          return { ...measured, error: result.error, bytesOff: result.bytesOff }
        })
      }
    }
  },

  targets: samples => [
    ...KINDS.map(kind => atMost(`${kind}: time off from its preview, third run on`, samples.median(nameOf(kind), 'error'), 0.3, 'of it')),
    ...KINDS.map(kind => atMost(`${kind}: bytes read that the preview did not tell`, samples.most(nameOf(kind), 'bytesOff'), 0, 'B')),
  ],
}

async function compared(
  ours: OurSystem,
  path: string,
  options: object,
): Promise<{ readonly run: Run; readonly error: number; readonly bytesOff: number }> {
  const { prediction: told } = await ours.call<Told>('POST', `${path}/preview?wait=60`, options)
  if (told === null) throw new Error('the preview says nothing')
  const run = await ours.ended(await ours.call<Run>('POST', path, options))
  const took = (Date.parse(run.endedAt ?? '') - Date.parse(run.startedAt ?? '')) / 1000
  return { run, error: Math.abs(told.seconds - took) / took, bytesOff: Math.abs(told.read - run.totals.read) }
}
