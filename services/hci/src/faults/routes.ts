import { HciError } from '../errors.ts'
import type { App } from '../http/app.ts'
import { loseLeases } from '../leases/routes.ts'
import type { Platform } from '../platform.ts'
import { FaultSpec } from './faults.ts'

/** `/varve-test/faults`: only when enabled, and then without a login. */
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
  app.get('/varve-test/faults', async () => ({ faults: faults.list() }))
  app.delete('/varve-test/faults', async () => {
    faults.clear()
    return {}
  })
}
