import { createHash, randomUUID } from 'node:crypto'
import Type from 'typebox'
import { HciError } from '../errors.ts'
import type { App } from '../http/app.ts'
import { inventory } from '../inventory/inventory.ts'
import { type Platform, requireNoRestore, requireOff, requireUnleased, startVmTask } from '../platform.ts'
import { diskEntries, diskSize, mergeVmConf, newDisks, textAt, type VmConf } from './vm-conf.ts'
import { storedVmConfig, vmConfigOf } from './vm-config.ts'

const VmName = Type.String({ minLength: 1, maxLength: 80, pattern: '^[^/\\u0000-\\u001f]+$' })
const NewVm = Type.Object({
  name: VmName,
  az_id: Type.String(),
  datastore_id: Type.String(),
  hardware_option: Type.Record(Type.String(), Type.Unknown()),
  os_option: Type.Record(Type.String(), Type.Unknown()),
})
const VmChange = Type.Object({
  name: Type.Optional(VmName),
  datastore_id: Type.Optional(Type.String()),
  host_id: Type.Optional(Type.String()),
  hardware_option: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
})
const IdParams = Type.Object({ id: Type.String() })

/** Create a VM from a configuration and edit it; disks that the configuration names are created, or resized. */
export function addServerConfigRoutes(app: App, platform: Platform): void {
  const { datastore, tasks, settings } = platform

  app.post('/janus/20180725/servers/config', { schema: { body: NewVm } }, async (request, reply) => {
    const { az_id, ...vmconf } = request.body as typeof request.body & VmConf
    if (az_id !== inventory.az.id) throw new HciError('RESOURCE_NOT_FOUND', `no resource pool ${az_id}`)
    requirePlace(vmconf)
    const disks = newDisks(vmconf, settings.diskSize)
    const uuid = newVmId(request.headers['x-client-token'], request.user)
    reply.status(201)
    const exists = datastore.listVms().find(vm => vm.id === uuid)
    if (exists !== undefined) {
      // The same client token as before a restart: the VM is there.
      const task = await startVmTask(
        platform,
        exists,
        { action: 'server_create', description: 'VM exists', user: request.user },
        async () => {},
      )
      return { task_id: task.id, uuid }
    }
    const name = request.body.name
    platform.names.require(name)
    const config = storedVmConfig({ vmconf, suspended: false, vmNumber: vmNumber(uuid), snapshotNotes: {} })
    const task = await startVmTask(
      platform,
      { id: uuid, name },
      { action: 'server_create', description: `create VM ${name}`, user: request.user },
      () =>
        platform.names.whileReserved(name, undefined, async () => {
          await datastore.createVm({ id: uuid, name, config, disks })
        }),
    )
    return { task_id: task.id, uuid }
  })

  app.put('/janus/20180725/servers/:id/config', { schema: { params: IdParams, body: VmChange } }, async request => {
    const vm = datastore.getVm(request.params.id)
    const { az_id: _, ...change } = request.body as typeof request.body & VmConf
    requirePlace(change)
    requireNoRestore(platform, vm.id)
    tasks.requireIdle(vm.id)
    const name = request.body.name ?? vm.name
    platform.names.require(name, vm.id)

    const before = vmConfigOf(vm.config)
    const vmconf = mergeVmConf(before.vmconf, change)
    const sizes = diskEntries(change).flatMap(entry => {
      const size = diskSize(entry, settings.diskSize)
      return size === undefined ? [] : [{ id: textAt(entry, 'device_id'), size }]
    })
    const added = sizes.filter(({ id }) => !vm.disks.some(disk => disk.id === id))
    const resized = sizes.filter(({ id, size }) => vm.disks.some(disk => disk.id === id && disk.size !== size))
    for (const entry of diskEntries(change)) {
      const id = textAt(entry, 'device_id')
      if (![...vm.disks, ...added].some(disk => disk.id === id))
        throw new HciError('DISK_SIZE_INVALID', `new disk ${id} has neither size_gb nor size_bytes`)
    }
    if (added.length + resized.length > 0) requireUnleased(platform, vm.id)
    if (resized.length > 0) {
      if (vm.snapshots.length > 0) throw new HciError('VM_HAS_SNAPSHOTS', 'a disk can not be resized while the VM has snapshots')
      if (resized.some(({ id, size }) => vm.disks.some(disk => disk.id === id && disk.size > size))) requireOff(vm)
    }

    const task = await startVmTask(platform, vm, { action: 'server_edit', description: `edit VM ${vm.name}`, user: request.user }, () =>
      platform.names.whileReserved(name, vm.id, async () => {
        for (const disk of added) await datastore.addDisk(vm.id, disk)
        if (resized.length > 0 && vm.power === 'off') await platform.guests.closeVm(vm)
        for (const { id, size } of resized) await datastore.resizeDisk(vm.id, id, size)
        await datastore.updateVm(vm.id, { name, config: storedVmConfig({ ...vmConfigOf(datastore.getVm(vm.id).config), vmconf }) })
      }),
    )
    return { task_id: task.id }
  })
}

/** Run location and datastore can be named, but there is only one of each. */
function requirePlace(conf: VmConf): void {
  const datastoreId = textAt(conf, 'datastore_id')
  if (datastoreId !== '' && datastoreId !== inventory.storage.id) throw new HciError('RESOURCE_NOT_FOUND', `no datastore ${datastoreId}`)
  const hostId = textAt(conf, 'host_id')
  if (hostId !== '' && hostId !== inventory.host.id) throw new HciError('RESOURCE_NOT_FOUND', `no host ${hostId}`)
}

/** From the client token where there is one, so that a repeated call finds the VM even if the platform was restarted in between. */
function newVmId(clientToken: string | string[] | undefined, user: string): string {
  if (typeof clientToken !== 'string') return randomUUID()
  const hash = createHash('sha256')
    .update(JSON.stringify(['create VM', user, clientToken]))
    .digest('hex')
  return `${hash.slice(0, 8)}-${hash.slice(8, 12)}-8${hash.slice(13, 16)}-8${hash.slice(17, 20)}-${hash.slice(20, 32)}`
}

/** HCI's numeric id of a VM; made of the UUID here. */
export function vmNumber(uuid: string): number {
  return Number.parseInt(uuid.slice(0, 8), 16)
}
