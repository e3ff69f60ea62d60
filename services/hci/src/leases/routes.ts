import Type from 'typebox'
import { HciError } from '../errors.ts'
import { fits } from '../faults/faults.ts'
import type { App } from '../http/app.ts'
import { inventory } from '../inventory/inventory.ts'
import { type Platform, requireOff } from '../platform.ts'
import { remainSeconds } from './lease.ts'

const IdParams = Type.Object({ id: Type.String() })

/** Backup resources: create, read, renew, release, capabilities. */
export function addLeaseRoutes(app: App, platform: Platform): void {
  const { datastore, faults, leases, settings, tasks } = platform
  const LockTime = Type.Integer(settings.lockTime)
  const NewLease = Type.Object({
    server_id: Type.String(),
    /** The guide calls it `resource_type` in one place. */
    type: Type.Optional(Type.Enum(['backup', 'restore'])),
    resource_type: Type.Optional(Type.Enum(['backup', 'restore'])),
    lock_time: LockTime,
    host_id: Type.Optional(Type.String()),
  })

  const done = async (action: string, description: string, vmId: string, leaseId: string, user: string) => {
    const task = await tasks.start(
      { action, description, objectType: 'backup-resource', objectId: leaseId, objectName: vmId, user },
      async () => {},
    )
    return { task_id: task.id }
  }

  app.post('/janus/20180725/backup-resources', { schema: { body: NewLease } }, async (request, reply) => {
    const { server_id, lock_time, host_id } = request.body
    const type = request.body.type ?? request.body.resource_type
    if (type === undefined) throw new HciError('REQUEST_INVALID', 'type must be backup or restore')
    if (host_id !== undefined && host_id !== inventory.host.id) throw new HciError('RESOURCE_NOT_FOUND', `no host ${host_id}`)
    const vm = datastore.getVm(server_id)
    if (faults.take('lease-refused', { vm_id: vm.id }) !== undefined) {
      throw new HciError('LEASE_OCCUPIED', 'the VM is occupied by another backup resource (scripted fault)')
    }
    if (type === 'restore') {
      requireOff(vm)
      tasks.requireIdle(vm.id)
    }
    const lease = await leases.create(vm.id, type, lock_time)
    // A guest connection may be open while the VM is off, if the platform was told to allow that; from now on the disk is the restore's.
    if (type === 'restore') await platform.guests.closeVm(vm)
    reply.status(201)
    return { ...(await done('backup_resource_create', `create ${type} resource`, vm.id, lease.id, request.user)), resource_id: lease.id }
  })

  app.get(
    '/janus/20180725/backup-resources/supports',
    { schema: { querystring: Type.Object({ server_id: Type.String() }) } },
    async request => {
      datastore.getVm(request.query.server_id)
      return { versions: ['6.10.0'], transport_modes: platform.backups.transports }
    },
  )

  app.get('/janus/20180725/backup-resources/:id', { schema: { params: IdParams } }, async request => {
    const lease = leases.get(request.params.id)
    return {
      server_id: lease.vmId,
      type: lease.type,
      remain_time: remainSeconds(lease, Date.now()),
      status: lease.status,
      host_id: inventory.host.id,
      ca_cert: platform.backups.caCert,
      data_access: lease.status === 'running' ? platform.backups.dataAccess(lease) : null,
    }
  })

  app.put(
    '/janus/20180725/backup-resources/:id',
    { schema: { params: IdParams, body: Type.Object({ lock_time: LockTime }) } },
    async request => {
      const lease = leases.get(request.params.id)
      await leases.renew(lease.id, request.body.lock_time)
      return done('backup_resource_renew', 'renew backup resource', lease.vmId, lease.id, request.user)
    },
  )

  app.delete('/janus/20180725/backup-resources/:id', { schema: { params: IdParams } }, async request => {
    const lease = leases.get(request.params.id)
    await leases.end(lease.id, 'released')
    return done('backup_resource_release', 'release backup resource', lease.vmId, lease.id, request.user)
  })
}

/** Leases that match end now, as if their time had run out. */
export async function loseLeases(platform: Pick<Platform, 'leases'>, match: Parameters<typeof fits>[0]): Promise<number> {
  const lost = platform.leases.running().filter(lease => fits(match, { vm_id: lease.vmId }))
  for (const lease of lost) await platform.leases.end(lease.id, 'expired')
  return lost.length
}
