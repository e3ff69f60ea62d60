import { GiB, TiB } from '@varve/runtime'
import { ourBackup } from '../our-backup.ts'
import { repositoryOf, storeCounts } from '../our-repository.ts'
import { TARGETS } from '../parts.ts'
import { type Samples, times } from '../samples.ts'
import type { Subject } from '../subject.ts'
import { atLeast, atMost, type TargetRow } from '../targets.ts'

const S3_PEERS = ['restic', 'benji', 'kopia'].map(name => `full to s3: ${name}`)
const OURS = 'full to s3: varve'
const DIRECTORY_PEERS = ['borg', 'virtnbdbackup', 'virtnbdbackup lz4'].map(name => `full to directory: ${name}`)

/** Everything that the disk holds, to a store. */
export const full: Subject = {
  name: 'full',
  about: 'full backup to MinIO and to a directory, beside restic, kopia, Benji, borg and virtnbdbackup',

  async open(parts) {
    const ours = await parts.ours()
    const peers = await parts.peers()
    const overTls = await ours.directory.vmId(ours.platformVmId, 'nbd_ssl')
    const vmIds = { s3: await ours.s3.vmId(ours.platformVmId), directory: await ours.directory.vmId(ours.platformVmId) }
    return async round => {
      for (const target of TARGETS) {
        const repository = await repositoryOf(parts, target)
        const backup = async (name: string, vmId: string): Promise<void> => {
          const old = await repository.packs()
          await parts.sample(name, () => ourBackup(parts, target, vmId, { full: true }))
          // Only the newest point is used from here on, and memory is short.
          await repository.remove(old)
        }
        if (target === 'directory') await backup('full to directory: varve, NBD over TLS', overTls)
        await backup(`full to ${target}: varve`, vmIds[target])
        await repository.close()
        for (const peer of peers.filter(one => one.target === target)) {
          await parts.samplePeer(peer, `full to ${target}: ${peer.name}`, async () => {
            const since = await storeCounts(parts, target)
            const run = await peer.full(round)
            return { ...run, ...(await since()), stored: await peer.stored(round) }
          })
        }
      }
    }
  },

  targets: (samples, { allocated }) => {
    const best = samples.best(S3_PEERS)
    const stored = samples.median(OURS, 'stored')
    const toDirectory = samples.ratio(samples.best(DIRECTORY_PEERS), 'full to directory: varve')
    const smallest = samples.best(S3_PEERS, 'stored')
    const puts = samples.median(OURS, 'puts')
    return [
      atLeast('full to S3 against the best peer', samples.ratio(best, OURS), 2, 'x'),
      // 13 CPU s for the 1971 MiB that the disk of 4 GiB holds.
      atMost('full to S3, processor time, MinIO included', times(cpuOfAll(samples), GiB / allocated), 6.75, 'CPU s/GiB'),
      atMost('full to S3: stored against the best peer', samples.ratio(OURS, smallest, 'stored'), 1.03, 'x'),
      atLeast('full to a directory against the best peer', toDirectory, 1, 'x'),
      atMost('objects for each TiB stored', stored && puts && (puts / stored) * TiB, 66_000, 'objects'),
      ...requests(samples),
    ]
  },
}

function requests(samples: Samples): TargetRow[] {
  return ['lists', 'heads'].map(figure => atMost(`full to S3: ${figure}`, samples.most(OURS, figure), 0, 'requests'))
}

function cpuOfAll(samples: Samples): number | undefined {
  const [own, servers] = [samples.median(OURS, 'cpu'), samples.median(OURS, 'serverCpu')]
  return own === undefined || servers === undefined ? undefined : own + servers
}
