import { statfs } from 'node:fs/promises'
import Type from 'typebox'
import { HciError } from '../errors.ts'
import type { App } from '../http/app.ts'
import { PageQuery, pageOf } from '../http/paging.ts'
import type { Settings } from '../options.ts'
import { inventory, VERSION } from './inventory.ts'

const ListQuery = Type.Interface([PageQuery], {
  name: Type.Optional(Type.String()),
  type: Type.Optional(Type.String()),
  az_id: Type.Optional(Type.String()),
})

/** Version, and one of each: enough for the pickers of a backup application. */
export function addInventoryRoutes(app: App, settings: Settings): void {
  app.get('/janus/20180725/system/version', async () => VERSION)
  app.get('/janus/20180725/platform', async () => ({
    version: VERSION.build_version,
    cluster_ip: settings.listen.host,
    cluster_port: String(settings.listen.port),
  }))

  const storage = async () => {
    const { bsize, blocks, bavail } = await statfs(settings.dataDir)
    const mb = (n: number) => Math.floor((n * bsize) / (1024 * 1024))
    return { ...inventory.storage, total_mb: mb(blocks), free_mb: mb(bavail), used_mb: mb(blocks - bavail) }
  }
  const lists: readonly (readonly [string, () => Promise<Record<string, unknown>>])[] = [
    ['/janus/20180725/azs', async () => inventory.az],
    ['/janus/20210725/clusters', async () => inventory.cluster],
    ['/janus/20240725/hosts', async () => inventory.host],
    ['/janus/20190725/hosts', async () => inventory.host],
    ['/janus/20200725/storages', storage],
    ['/janus/20180725/storages', storage],
  ]
  for (const [path, one] of lists) {
    app.get(path, { schema: { querystring: ListQuery } }, async request => {
      const row = await one()
      const { name, type, az_id } = request.query
      const fits = [
        [name, row.name],
        [type, row.type],
        [az_id, row.az_id ?? row.id],
      ].every(([wanted, actual]) => wanted === undefined || wanted === actual)
      return pageOf(fits ? [row] : [], request.query)
    })
  }
  app.get<{ Params: { id: string } }>('/janus/20190725/clusters/:id', async request => {
    if (request.params.id !== inventory.cluster.id) throw new HciError('RESOURCE_NOT_FOUND', `no cluster ${request.params.id}`)
    return inventory.cluster
  })
  // Nothing of this kind exists here; an empty page keeps pickers going.
  for (const path of [
    '/janus/20180725/backup-policies',
    '/janus/20190725/projects',
    '/janus/20180725/server-groups',
    '/janus/20180725/storages/tags',
  ]) {
    app.get(path, { schema: { querystring: PageQuery } }, async request => pageOf([], request.query))
  }
}
