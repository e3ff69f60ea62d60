import Type from 'typebox'
import type { VmRecord } from '../datastore/datastore.ts'
import { HciError } from '../errors.ts'
import type { App } from '../http/app.ts'
import { type Platform, requireNoRestore, requireOff, requireUnleased, startVmTask } from '../platform.ts'
import type { Task } from '../tasks/task.ts'
import { storedVmConfig, vmConfigOf } from './vm-config.ts'
import { vmStatus } from './vm-view.ts'

/** May be absent. Stopping is always at once here, and there is no recycle bin, so `force` changes nothing. */
const Force = Type.Union([
  Type.Object({ force: Type.Optional(Type.Union([Type.Literal(0), Type.Literal(1), Type.Boolean()])) }),
  Type.Null(),
  Type.Undefined(),
])
const BulkAction = Type.Object({
  server_ids: Type.Array(Type.String(), { minItems: 1, maxItems: 100 }),
  server_action: Type.Record(Type.String(), Type.Unknown()),
})

/** Start, stop, reboot, suspend, delete. A start or stop of a VM that is there already succeeds and does nothing. */
export function addPowerRoutes(app: App, platform: Platform): void {
  for (const date of ['20180725', '20190725']) {
    const base = `/janus/${date}/servers/:id`
    app.post<{ Params: { id: string } }>(`${base}/start`, async request => answer(await start(platform, request.params.id, request.user)))
    app.post(`${base}/stop`, { schema: { params: Type.Object({ id: Type.String() }), body: Force } }, async request =>
      answer(await stop(platform, request.params.id, request.user)),
    )
    app.post<{ Params: { id: string } }>(`${base}/reboot`, async request => {
      const vm = platform.datastore.getVm(request.params.id)
      requireNoRestore(platform, vm.id)
      if (vmStatus(vm) !== 'running') throw new HciError('VM_STATE_INVALID', `the VM ${vm.name} is not running`)
      return answer(
        await startVmTask(platform, vm, { action: 'server_reboot', description: 'reboot VM', user: request.user }, async () => {}),
      )
    })
    app.post<{ Params: { id: string } }>(`${base}/suspend`, async request => {
      const vm = platform.datastore.getVm(request.params.id)
      if (vmStatus(vm) !== 'running') throw new HciError('VM_STATE_INVALID', `the VM ${vm.name} is not running`)
      return answer(
        await startVmTask(platform, vm, { action: 'server_suspend', description: 'suspend VM', user: request.user }, () =>
          setSuspended(platform, vm, true),
        ),
      )
    })
    app.delete(base, { schema: { params: Type.Object({ id: Type.String() }), body: Force } }, async request => {
      const vm = platform.datastore.getVm(request.params.id)
      requireOff(vm)
      requireUnleased(platform, vm.id)
      const task = { action: 'server_delete', description: 'delete VM', user: request.user }
      return answer(
        await startVmTask(platform, vm, task, async () => {
          await platform.guests.closeVm(vm)
          await platform.datastore.deleteVm(vm.id)
        }),
      )
    })
  }
  app.post('/janus/20180725/servers/action', { schema: { body: BulkAction } }, async request => {
    const { server_ids, server_action } = request.body
    const [name] = Object.keys(server_action)
    const act = name === 'start_servers_action' ? start : name === 'stop_servers_action' ? stop : undefined
    if (act === undefined) throw new HciError('REQUEST_INVALID', `unknown server_action ${name ?? ''}`)
    for (const id of server_ids) platform.datastore.getVm(id)
    const started: Task[] = []
    for (const id of server_ids) started.push(await act(platform, id, request.user))
    return { task_id: started[0]?.id ?? '', task_ids: started.map(task => task.id) }
  })
}

async function start(platform: Platform, id: string, user: string): Promise<Task> {
  const vm = platform.datastore.getVm(id)
  requireNoRestore(platform, vm.id)
  return startVmTask(platform, vm, { action: 'server_start', description: 'start VM', user }, async () => {
    await platform.datastore.updateVm(id, { power: 'on' })
    await setSuspended(platform, vm, false)
  })
}

async function stop(platform: Platform, id: string, user: string): Promise<Task> {
  const vm = platform.datastore.getVm(id)
  return startVmTask(platform, vm, { action: 'server_stop', description: 'stop VM', user }, async () => {
    await setSuspended(platform, vm, false)
    await platform.datastore.updateVm(id, { power: 'off' })
    if (!platform.settings.guestDisksWhileOff) await platform.guests.closeVm(vm)
  })
}

async function setSuspended(platform: Platform, { id }: VmRecord, suspended: boolean): Promise<void> {
  const config = vmConfigOf(platform.datastore.getVm(id).config)
  if (config.suspended !== suspended) await platform.datastore.updateVm(id, { config: storedVmConfig({ ...config, suspended }) })
}

function answer(task: Task): { readonly task_id: string } {
  return { task_id: task.id }
}
