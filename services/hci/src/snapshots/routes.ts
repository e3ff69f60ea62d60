import Type from 'typebox'
import type { SnapshotRecord, VmRecord } from '../datastore/datastore.ts'
import { HciError } from '../errors.ts'
import type { App } from '../http/app.ts'
import { type Platform, requireNoRestore, requireOff, requireUnleased, startVmTask } from '../platform.ts'
import { snapshotNotes } from '../servers/vm-config.ts'
import { noteSnapshot, startCreate, startDelete, startRevert } from './operations.ts'
import { requireSnapshot, snapshotIdOf } from './snapshot-id.ts'
import { snapshotDetail, snapshotItem } from './snapshot-view.ts'

const Name = Type.String({ minLength: 1, maxLength: 90 })
const Description = Type.Optional(Type.String({ maxLength: 90 }))
const VmParams = Type.Object({ id: Type.String() })
const SnapshotParams = Type.Object({ id: Type.String(), sid: Type.String() })
const Bit = Type.Union([Type.Literal(0), Type.Literal(1)])
const NewSnapshot = Type.Object({
  name: Name,
  description: Description,
  snap_type: Type.Optional(Type.Enum(['vs', 'VS', 'qcow2', 'external_qcow2'])),
})
const SnapshotEdit = Type.Object({ name: Name, description: Description, is_protected: Type.Optional(Bit) })
const BulkDelete = Type.Object({ action: Type.Literal('delete'), snapshot_ids: Type.Array(Type.String(), { minItems: 1, maxItems: 100 }) })
const Recovery = Type.Object({ backup: Bit, power_on: Type.Optional(Type.Union([Bit, Type.Boolean()])) })

/** Snapshots: create, list, detail, edit, delete, bulk delete, revert. Ids are sorted into dates as the SCP OpenAPI has them. */
export function addSnapshotRoutes(app: App, platform: Platform): void {
  const { datastore } = platform

  app.post('/janus/20190725/servers/:id/snapshots', { schema: { params: VmParams, body: NewSnapshot } }, async (request, reply) => {
    const vm = datastore.getVm(request.params.id)
    const { name } = request.body
    if (name === 'current') throw new HciError('REQUEST_INVALID', 'a snapshot can not be named current')
    requireNoRestore(platform, vm.id)
    reply.status(201)
    const { task, snapshotId } = await startCreate(platform, vm, request.body, request.user)
    return { task_id: task.id, resource_id: snapshotId }
  })

  for (const date of ['20180725', '20210725', '20240725']) {
    app.get(`/janus/${date}/servers/:id/snapshots`, { schema: { params: VmParams } }, async request => {
      const vm = datastore.getVm(request.params.id)
      return vm.snapshots.map(snapshot => snapshotItem(vm, snapshot))
    })
  }
  for (const date of ['20180725', '20240725']) {
    app.get(`/janus/${date}/servers/:id/snapshots/:sid`, { schema: { params: SnapshotParams } }, async request => {
      const vm = datastore.getVm(request.params.id)
      return snapshotDetail(vm, requireSnapshot(vm, request.params.sid))
    })
  }

  app.put('/janus/20180725/servers/:id/snapshots/:sid', { schema: { params: SnapshotParams, body: SnapshotEdit } }, async request => {
    const vm = datastore.getVm(request.params.id)
    const snapshot = requireSnapshot(vm, request.params.sid)
    if (request.body.name === 'current') throw new HciError('REQUEST_INVALID', 'a snapshot can not be named current')
    const task = await startVmTask(platform, vm, { action: 'snapshot_edit', description: 'edit snapshot', user: request.user }, () =>
      noteSnapshot(platform, vm.id, snapshot.id, request.body),
    )
    return { task_id: task.id }
  })

  app.delete('/janus/20180725/servers/:id/snapshots/:sid', { schema: { params: SnapshotParams } }, async request => {
    const vm = datastore.getVm(request.params.id)
    const snapshot = requireSnapshot(vm, request.params.sid)
    requireDeletable(platform, vm, snapshot)
    return { task_id: (await startDelete(platform, vm, [snapshot], request.user)).id }
  })

  app.post('/janus/20180725/servers/:id/snapshots/action', { schema: { params: VmParams, body: BulkDelete } }, async request => {
    const vm = datastore.getVm(request.params.id)
    const snapshots = [...new Set(request.body.snapshot_ids)].map(id => requireSnapshot(vm, id))
    for (const snapshot of snapshots) requireDeletable(platform, vm, snapshot)
    return { task_id: (await startDelete(platform, vm, snapshots, request.user)).id }
  })

  for (const date of ['20180725', '20190725']) {
    app.post(
      `/janus/${date}/servers/:id/snapshots/:sid/recovery`,
      { schema: { params: SnapshotParams, body: Recovery } },
      async request => {
        const vm = datastore.getVm(request.params.id)
        const snapshot = requireSnapshot(vm, request.params.sid)
        requireOff(vm)
        requireUnleased(platform, vm.id)
        // A snapshot taken first would be newer than the one that the VM goes back to, and go with it.
        if (request.body.backup === 1) throw new HciError('REQUEST_INVALID', 'backup=1 is not supported: take a backup first')
        for (const newer of vm.snapshots.slice(vm.snapshots.indexOf(snapshot) + 1)) requireDeletable(platform, vm, newer)
        const powerOn = request.body.power_on === 1 || request.body.power_on === true
        return { task_id: (await startRevert(platform, vm, snapshot, powerOn, request.user)).id }
      },
    )
  }
}

function requireDeletable(platform: Platform, vm: VmRecord, snapshot: SnapshotRecord): void {
  if (snapshotNotes(vm, snapshot.id).is_protected === 1)
    throw new HciError('SNAPSHOT_PROTECTED', `the snapshot ${snapshot.id} is protected`)
  const lease = platform.leases.holding(vm.id)
  if (lease?.type === 'restore') requireNoRestore(platform, vm.id)
  if (lease?.snapshotsRead.includes(snapshotIdOf(vm, snapshot)))
    throw new HciError('SNAPSHOT_IN_USE', `the snapshot ${snapshot.id} is read under a backup resource`)
}
