import Type from 'typebox'
import { HciError } from '../errors.ts'
import type { App } from '../http/app.ts'
import { loseLeases } from '../leases/routes.ts'
import type { Platform } from '../platform.ts'
import { FaultSpec } from './faults.ts'

const ReplacedDisk = Type.Object({ vm_id: Type.String(), disk_id: Type.String() })

const DeletedVm = Type.Object({ vm_id: Type.String() })

/** `/varve-test/faults`, `/varve-test/replace-disk`, `/varve-test/delete-vm`: only when enabled, and then without a login. */
export function addFaultRoutes(app: App, platform: Platform): void {
  const { faults } = platform
  app.post('/varve-test/faults', { schema: { body: FaultSpec } }, async request => {
    const path = request.body.match?.path
    try {
      if (path !== undefined) new RegExp(path)
    } catch (cause) {
      throw new HciError('REQUEST_INVALID', 'match.path is not a regular expression', {}, { cause })
    }
    if (request.body.kind === 'lease-lost') return { lost: await loseLeases(platform, request.body.match ?? {}) }
    return { id: faults.add(request.body).id }
  })
  // Nothing that a client could ask for: what an administrator does, on a platform that goes on tracking by slot.
  app.post('/varve-test/replace-disk', { schema: { body: ReplacedDisk } }, async request => {
    const vm = platform.datastore.getVm(request.body.vm_id)
    await platform.guests.closeVm(vm)
    await platform.datastore.replaceDisk(vm.id, request.body.disk_id)
    return {}
  })
  app.post('/varve-test/delete-vm', { schema: { body: DeletedVm } }, async request => {
    const vm = platform.datastore.getVm(request.body.vm_id)
    await platform.guests.closeVm(vm)
    await platform.datastore.deleteVm(vm.id)
    return {}
  })
  app.get('/varve-test/faults', async () => ({ faults: faults.list() }))
  app.delete('/varve-test/faults', async () => {
    faults.clear()
    return {}
  })
}
