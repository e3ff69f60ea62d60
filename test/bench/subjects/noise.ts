import { GiB, MiB } from '@varve/runtime'
import { noise as noiseBytes } from '../../support/pattern.ts'
import { bareS3Run } from '../bare-s3-run.ts'
import { ourBackup } from '../our-backup.ts'
import { repositoryOf } from '../our-repository.ts'
import type { Subject } from '../subject.ts'
import { atLeast } from '../targets.ts'

const OURS = 'incompressible, full to s3: varve'
const BARE = 'incompressible: bare S3 put'
const STEP = 16 * MiB

/** Random bytes, that nothing can be saved on: a full beside a bare PUT of as many. One GiB: each lies in memory several times, and MinIO clears away in its own time. */
export const noise: Subject = {
  name: 'noise',
  about: 'full backup of incompressible data beside a bare PUT of the same bytes',

  async open(parts) {
    const size = parts.settings.quick ? GiB / 4 : GiB
    const { platform, s3 } = await parts.ours()
    const platformVmId = await platform.createVm('noise', [size])
    const guest = await platform.guest(platformVmId)
    for (let at = 0; at < size; at += STEP) await guest.write(at, noiseBytes(`noise ${at}`, STEP))
    await guest.flush()
    await guest.close()
    const vmId = await s3.vmId(platformVmId)
    return async () => {
      await parts.sample(BARE, () => bareS3Run(parts, 'put', 's3://bare/noise', size))
      const repository = await repositoryOf(parts, 's3')
      const old = new Set(await repository.packs())
      await parts.sample(OURS, () => ourBackup(parts, 's3', vmId, { full: true }))
      // Nobody needs these any more, and memory is short.
      await repository.remove((await repository.packs()).filter(key => !old.has(key)))
      await repository.close()
    }
  },

  targets: samples => [atLeast('full of incompressible data against a bare PUT', samples.ratio(BARE, OURS), 0.8, 'x')],
}
