import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { KiB, MiB } from '@varve/runtime'
import { noise } from '../../support/pattern.ts'
import { makeRelay } from '../../support/relay.ts'
import { type BenchPlatform, startBenchPlatform } from '../bench-platform.ts'
import { endChild } from '../end-child.ts'
import { measureProcesses } from '../measure.ts'
import { type OurProcesses, runSeconds, startOurProcesses } from '../our-system.ts'
import type { Subject } from '../subject.ts'
import { atLeast } from '../targets.ts'

/** Added to each request, half on the way there and half on the way back. */
const LATENCY_MS = 20
const nameOf = (requests: number): string => `restore from s3 to a new VM, ${LATENCY_MS} ms away, ${requests} in flight`
/** Two lanes of eight, which is what a writer with two cores would have. */
const CASES = [
  { requests: 1, settings: { VARVE_LANES: '1', VARVE_GETS_IN_FLIGHT: '1' } },
  { requests: 16, settings: { VARVE_LANES: '2', VARVE_GETS_IN_FLIGHT: '8' } },
] as const

const BLOCK = 256 * KiB

/**
 * A store that is far away is made up for by requests on their way at the same time.
 *
 * The disk is one that has aged: since its full every second block was written anew, so that what is wanted of the full's packs lies apart and each get brings one block.
 * Of a fresh full a get brings up to 4 MiB, which hides the distance by itself.
 */
export const restoreLatency: Subject = {
  name: 'latency',
  about: `restore to NBD from a store ${LATENCY_MS} ms away, 1 request in flight against 16`,
  quickRounds: 1,

  async open(parts) {
    const folder = join(parts.folder, 'latency')
    await mkdir(folder, { recursive: true })
    await parts.makeBucket('s3://far/bench')
    const { port } = new URL(parts.minio.endpoint)
    const relay = await makeRelay({ host: '127.0.0.1', port: Number(port) }, { delayMs: LATENCY_MS / 2 })
    await relay.open()
    parts.closer.add('relay', () => relay.cut())
    const platform = await startBenchPlatform(join(folder, 'hci'), parts.closer)
    const ours = await startOurProcesses({ folder, platform, repository: 's3://far/bench', env: parts.s3Env }, parts.closer, {
      readers: 1,
      writers: 0,
    })
    const restorePointId = await backUpAgedDisk(platform, ours, (parts.settings.quick ? 128 : 256) * MiB)
    const far = { VARVE_S3_ENDPOINT: `http://127.0.0.1:${relay.port}` }
    return async round => {
      for (const { requests, settings } of CASES) {
        const writer = await ours.services.start('block-writer', { ...far, ...settings })
        await ours.services.ready()
        let made: string | null = null
        try {
          await parts.sample(nameOf(requests), async () => {
            const processes = { own: [writer.pid!], servers: [platform.pid, parts.minio.pid] }
            const { measured, result } = await measureProcesses(processes, () => ours.restore(restorePointId, `far-${requests}-${round}`))
            made = result.targetPlatformVmId
            return { ...measured, wall: runSeconds(result) }
          })
        } finally {
          await endChild(writer)
          if (made !== null) await platform.removeVm(made)
        }
      }
    }
  },

  targets: samples => [
    atLeast(`restore at ${LATENCY_MS} ms: 16 requests in flight against 1`, samples.ratio(nameOf(1), nameOf(16)), 3, 'x'),
  ],
}

async function backUpAgedDisk(platform: BenchPlatform, ours: OurProcesses, size: number): Promise<string> {
  const platformVmId = await platform.createVm('aged', [size])
  const vmId = await ours.vmId(platformVmId)
  const write = async (seed: string, every: number): Promise<void> => {
    const guest = await platform.guest(platformVmId)
    for (let at = 0; at < size; at += every * BLOCK) await guest.write(at, noise(`${seed} ${at}`, BLOCK))
    await guest.flush()
    await guest.close()
  }
  await write('full', 1)
  await ours.backup(vmId)
  await write('again', 2)
  const { restorePointId } = await ours.backup(vmId)
  return restorePointId!
}
