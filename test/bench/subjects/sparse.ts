import { GiB, TiB } from '@varve/runtime'
import { ourBackup } from '../our-backup.ts'
import { changeAllOver, makeSparseVm } from '../sparse-disk.ts'
import type { Subject } from '../subject.ts'
import { atMost } from '../targets.ts'

const SIZES = { '16 GiB': 16 * GiB, '1 TiB': TiB, '16 TiB': 16 * TiB }
const nameOf = (label: string): string => `incremental, 100 MB changed on ${label}: varve`

/** The same change on disks of three sizes: what nobody wrote to costs nothing. */
export const sparse: Subject = {
  name: 'sparse',
  about: '100 MB changed on sparse disks of 16 GiB, 1 TiB and 16 TiB, to a directory',

  async open(parts) {
    const { platform, directory } = await parts.ours()
    const vms: { label: string; platformVmId: string; vmId: string }[] = []
    for (const [label, size] of Object.entries(SIZES)) {
      const platformVmId = await makeSparseVm(platform, `sparse-${label.replace(' ', '')}`, size)
      const vmId = await directory.vmId(platformVmId)
      await directory.backup(vmId)
      // The pieces are holes before, which is another case.
      await changeAllOver(platform, platformVmId, 'first')
      await directory.backup(vmId)
      vms.push({ label, platformVmId, vmId })
    }
    return async round => {
      for (const { label, platformVmId, vmId } of vms) {
        await changeAllOver(platform, platformVmId, `round ${round}`)
        await parts.sample(nameOf(label), () => ourBackup(parts, 'directory', vmId, {}))
      }
    }
  },

  targets: samples => [
    atMost('incremental of 100 MB on 1 TiB', samples.median(nameOf('1 TiB')), 3, 's'),
    atMost('incremental of 100 MB: 16 TiB against 16 GiB', samples.ratio(nameOf('16 TiB'), nameOf('16 GiB')), 1.5, 'x'),
  ],
}
