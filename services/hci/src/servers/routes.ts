import Type from 'typebox'
import type { App } from '../http/app.ts'
import { PageQuery, pageOf } from '../http/paging.ts'
import { inventory } from '../inventory/inventory.ts'
import type { Platform } from '../platform.ts'
import { vmView } from './vm-view.ts'

const ListQuery = Type.Interface([PageQuery], {
  type: Type.Optional(Type.String()),
  status: Type.Optional(Type.String()),
  az_id: Type.Optional(Type.String()),
  host_id: Type.Optional(Type.String()),
  /** Comma-separated. */
  storage_ids: Type.Optional(Type.String()),
  ids: Type.Optional(Type.String({ maxLength: 10_000 })),
  vmtype: Type.Optional(Type.String()),
  turbo_mode_enabled: Type.Optional(Type.String()),
  query_name: Type.Optional(Type.String()),
})

/** List and detail of VMs. The older dates are the same here, in the older envelope. */
export function addServerRoutes(app: App, platform: Platform): void {
  const { datastore, tasks } = platform
  for (const date of ['20180725', '20190725', '20240725']) {
    app.get(`/janus/${date}/servers`, { schema: { querystring: ListQuery } }, async request => {
      const query = request.query
      const oneOf = (wanted: string | undefined, actual: unknown) => wanted === undefined || wanted.split(',').includes(String(actual))
      const rows = datastore
        .listVms()
        .toSorted((a, b) => (a.createdAt < b.createdAt || (a.createdAt === b.createdAt && a.id < b.id) ? -1 : 1))
        .map(vm => vmView(vm, tasks.holding(vm.id)?.id ?? ''))
        .filter(
          vm =>
            oneOf(query.type, 'hci') &&
            oneOf(query.status, vm.status) &&
            oneOf(query.az_id, inventory.az.id) &&
            oneOf(query.host_id, inventory.host.id) &&
            oneOf(query.storage_ids, inventory.storage.id) &&
            oneOf(query.ids, vm.id) &&
            oneOf(query.vmtype, vm.vmtype) &&
            (query.turbo_mode_enabled === undefined || ['1', 'true'].includes(query.turbo_mode_enabled) === vm.turbo_mode_enabled) &&
            (query.query_name === undefined || String(vm.name).includes(query.query_name)),
        )
      return pageOf(rows, query)
    })
    app.get<{ Params: { id: string } }>(`/janus/${date}/servers/:id`, async request => {
      const vm = datastore.getVm(request.params.id)
      return vmView(vm, tasks.holding(vm.id)?.id ?? '')
    })
  }
  app.get<{ Params: { id: string } }>('/janus/20180725/servers/:id/status', async request => {
    const view = vmView(datastore.getVm(request.params.id), '')
    return { id: view.id, status: view.status, power_state: view.power_state }
  })
}
