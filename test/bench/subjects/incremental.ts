import { changes, writeChanges } from '../bench-disk.ts'
import { ourBackup } from '../our-backup.ts'
import { TARGETS } from '../parts.ts'
import type { Subject } from '../subject.ts'
import { atLeast, atMost } from '../targets.ts'

const OURS = 'incremental to s3: varve'
const S3_PEERS = ['restic', 'kopia', 'benji'].map(name => `incremental to s3: ${name}`)

/** One per cent changed in pieces of 64 KiB. The peers find it out for themselves, but for Benji, which is given the list, and virtnbdbackup, whose hypervisor saw the writes. */
export const incremental: Subject = {
  name: 'incremental',
  about: '1 % changed in 64 KiB pieces, from the call to sealed',
  after: ['full'],

  async open(parts) {
    const ours = await parts.ours()
    const peers = await parts.peers()
    const vmIds = { s3: await ours.s3.vmId(ours.platformVmId), directory: await ours.directory.vmId(ours.platformVmId) }
    return async round => {
      const list = [...changes(parts.disk.size, `round ${round}`)]
      const guest = await ours.platform.guest(ours.platformVmId)
      for (const { offset, bytes } of list) await guest.write(offset, bytes)
      await guest.flush()
      await guest.close()
      // The peers back the image itself up.
      await writeChanges(parts.disk.path, list)
      const changed = list.reduce((sum, { bytes }) => sum + bytes.length, 0)
      for (const target of TARGETS) {
        await parts.sample(`incremental to ${target}: varve`, async () => {
          const run = await ourBackup(parts, target, vmIds[target], {})
          return { ...run, readShare: (run.read ?? 0) / changed, storedShare: (run.stored ?? 0) / changed }
        })
        for (const peer of peers.filter(one => one.target === target))
          await parts.samplePeer(peer, `incremental to ${target}: ${peer.name}`, () => peer.incremental(round, list))
      }
    }
  },

  targets: samples => {
    const best = samples.best(S3_PEERS)
    return [
      atMost('incremental to S3', samples.median(OURS), 1.3, 's'),
      atLeast('incremental to S3 against the best peer', samples.ratio(best, OURS), 5, 'x'),
      atMost('incremental: read for each changed byte', samples.median(OURS, 'readShare'), 4, 'x'),
      ...['lists', 'heads'].map(figure => atMost(`incremental to S3: ${figure}`, samples.most(OURS, figure), 0, 'requests')),
      atMost('incremental: stored for each changed byte', samples.median(OURS, 'storedShare'), 4, 'x'),
    ]
  },
}
