import type { Check } from '@varve/catalog-client'
import { endOfCheck } from '../driver/check-end.ts'
import { type Fault, SUCCEEDS } from '../driver/fault.ts'
import type { World } from '../driver/world.ts'
import { killService } from './service-killed.ts'

/** A silent check is given to another after a minute. */
const LIMIT_MS = 180_000
const checksOf = new WeakMap<World, string>()

/** A check that sweeps is under way while a run is: killed in the middle, it is done by whoever comes next, and nothing of the run is swept. */
export const maintenanceKilled: Fault = {
  name: 'maintenance-killed',
  title: 'kill -9 of maintenance during a check that sweeps, started again after 1 s; the check is done in the end',
  where: ['planning', 'middle-range', 'sealing', 'restore-middle-range'],
  quick: ['middle-range'],
  async inject({ world }) {
    const { id } = await world.api<Check>('POST', '/v1/checks', { scope: 'all', sweep: true })
    checksOf.set(world, id)
    for (const deadline = Date.now() + 10_000; Date.now() < deadline; await new Promise(resolve => setTimeout(resolve, 10))) {
      if ((await world.api<Check>('GET', `/v1/checks/${id}`)).state !== 'queued') break
    }
    await killService(world, 'maintenance')
  },
  async after({ world }) {
    const { state } = await endOfCheck(world, checksOf.get(world) ?? '', LIMIT_MS)
    return state === 'done' ? [] : [`the check that was killed is ${state}`]
  },
  expect: SUCCEEDS,
}
