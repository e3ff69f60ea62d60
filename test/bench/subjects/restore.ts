import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { runTool } from '../../support/tools.ts'
import { measureCommand, measureProcesses } from '../measure.ts'
import { storeCounts } from '../our-repository.ts'
import { runSeconds, VARVE } from '../our-system.ts'
import { type Ours, type Parts, TARGETS, type Target } from '../parts.ts'
import type { Subject } from '../subject.ts'
import { atLeast, atMost } from '../targets.ts'

const FILE = 'restore from s3 to a file: varve extract'
const VM = 'restore from s3 to a new VM: varve'
const RESTIC = 'restore from s3 to a file: restic'

/** The disk comes back: to a sparse file without any service, and to a new VM over NBD. */
export const restore: Subject = {
  name: 'restore',
  about: 'restore to a file and to a new VM, beside restic, kopia, Benji, borg and virtnbdbackup',
  after: ['full'],

  async open(parts) {
    const ours = await parts.ours()
    const peers = await parts.peers()
    const vmIds = { s3: await ours.s3.vmId(ours.platformVmId), directory: await ours.directory.vmId(ours.platformVmId) }
    return async round => {
      for (const target of TARGETS) {
        await extract(parts, ours, target, await ours[target].newestPoint(vmIds[target]), round === 1)
        if (target === 's3') {
          const { restorePointId } = await ours.s3.backup(vmIds.s3)
          const processes = { own: [ours.s3.pid], servers: [ours.platform.pid, parts.minio.pid] }
          let made: string | null = null
          await parts.sample(VM, async () => {
            const since = await storeCounts(parts, 's3')
            const { measured, result } = await measureProcesses(processes, () => ours.s3.restore(restorePointId!, `restored-${round}`))
            made = result.targetPlatformVmId
            return { ...measured, ...(await since()), wall: runSeconds(result) }
          })
          if (made !== null) await ours.platform.removeVm(made)
        }
        for (const peer of peers.filter(one => one.target === target))
          await parts.samplePeer(peer, `restore from ${target} to a file: ${peer.name}`, () => peer.restore(round))
      }
    }
  },

  targets: samples => [
    atLeast('restore from S3 to a file against restic', samples.ratio(RESTIC, FILE), 1.5, 'x'),
    ...['lists', 'heads'].map(figure => atMost(`restore from S3 to NBD: ${figure}`, samples.most(VM, figure), 0, 'requests')),
    atLeast('restore from S3 to NBD against restic to a file', samples.ratio(RESTIC, VM), 1, 'x'),
  ],
}

async function extract(parts: Parts, { platform, platformVmId }: Ours, target: Target, point: string, compare: boolean): Promise<void> {
  const output = join(parts.folder, 'extracted.img')
  const args = ['extract', '--repository', parts.urlOf(target), '--point', point, '-o', output, '--json']
  await parts.sample(`restore from ${target} to a file: varve extract`, async () => {
    const servers = target === 's3' ? [parts.minio.pid] : []
    const { measured, output: said } = await measureCommand([process.execPath, VARVE, ...args], { env: parts.s3Env, servers })
    const { gets, packs } = JSON.parse(said) as { gets: number; packs: number }
    return { ...measured, gets, packs }
  })
  // What came out is what the guest has: a fast restore of something else is worth nothing.
  if (compare) await runTool('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', output, platform.guestUri(platformVmId)])
  await rm(output)
}
