import Type from 'typebox'
import { HciError } from '../errors.ts'
import { spoilChangedAreas } from '../faults/changed-areas-fault.ts'
import type { App } from '../http/app.ts'
import { type Platform, startVmTask } from '../platform.ts'
import { requireSnapshot } from '../snapshots/snapshot-id.ts'

const VmParams = Type.Object({ id: Type.String() })
const CbtChange = Type.Object({
  type: Type.Enum(['enable', 'disable', 'reset']),
  disk_ids: Type.Optional(Type.Array(Type.String(), { minItems: 1, maxItems: 64 })),
})
const AreasQuery = Type.Object({
  disk_id: Type.String(),
  snapshot_id: Type.String(),
  /** 64 bits: text here, never a JavaScript number. */
  checkpoint_id: Type.String({ pattern: '^[0-9]{1,19}$' }),
  start_offset: Type.String({ pattern: '^[0-9]{1,16}$' }),
})

/** CBT state, switch and changed areas. */
export function addCbtRoutes(app: App, platform: Platform): void {
  const { datastore, faults, settings } = platform

  app.get('/janus/20180725/servers/:id/cbt/status', { schema: { params: VmParams } }, async request => {
    const vm = datastore.getVm(request.params.id)
    return {
      server_id: vm.id,
      is_enabled: vm.disks.some(disk => disk.cbt),
      disks: vm.disks.map(disk => ({ id: disk.id, is_enabled: disk.cbt })),
    }
  })

  app.put('/janus/20180725/servers/:id/cbt/status', { schema: { params: VmParams, body: CbtChange } }, async request => {
    const vm = datastore.getVm(request.params.id)
    const { type, disk_ids } = request.body
    for (const id of disk_ids ?? []) {
      if (!vm.disks.some(disk => disk.id === id)) throw new HciError('DISK_NOT_FOUND', `the VM has no disk ${id}`)
    }
    // Reset hits every disk that has CBT on, whatever is named.
    const diskIds = type === 'reset' ? undefined : disk_ids
    const task = await startVmTask(platform, vm, { action: `cbt_${type}`, description: `${type} CBT`, user: request.user }, () =>
      datastore.setCbt(vm.id, type, diskIds),
    )
    return { task_id: task.id }
  })

  app.get('/janus/20180725/servers/:id/cbt/changed-areas', { schema: { params: VmParams, querystring: AreasQuery } }, async request => {
    const vm = datastore.getVm(request.params.id)
    const { disk_id, snapshot_id, checkpoint_id, start_offset } = request.query
    const snapshot = requireSnapshot(vm, snapshot_id)
    const disk = snapshot.disks.find(d => d.id === disk_id)
    if (disk === undefined) throw new HciError('DISK_NOT_FOUND', `the snapshot has no disk ${disk_id}`)
    const startOffset = Number(start_offset)
    if (startOffset > disk.size) throw new HciError('REQUEST_INVALID', 'start_offset is past the end of the disk')
    const subject = { vm_id: vm.id, disk_id }
    if (faults.take('cbt-expired', subject) !== undefined) throw new HciError('CBT_EXPIRED', 'The VM CBT has expired. Please reset it.')
    // At the very end there is nothing more: SCP's answer is not public, ours covers zero bytes.
    if (startOffset === disk.size) return { changed_area: [], start_offset: startOffset, length: 0 }
    const answer = await datastore.changedAreas({
      vmId: vm.id,
      diskId: disk_id,
      snapshotId: snapshot.id,
      checkpointId: BigInt(checkpoint_id),
      startOffset,
      maxAreas: settings.changedAreasPerPage,
    })
    const spoiled = faults.take('changed-areas', subject)
    if (spoiled !== undefined) return spoilChangedAreas(answer, spoiled, disk.size)
    return { changed_area: answer.areas, start_offset: answer.startOffset, length: answer.length }
  })
}
