import { setTimeout as sleep } from 'node:timers/promises'
import type { Run } from '@varve/catalog-client'
import type { World } from './world.ts'

/** Asked this often, ms; the longer it takes, the less often. */
const [SOONEST, LATEST] = [50, 250]

/** The api may be away meanwhile. */
export async function endOf(world: World, run: Run, limitMs: number): Promise<Run> {
  let last: Run = run
  for (const began = Date.now(); ; await sleep(Math.min(LATEST, Math.max(SOONEST, (Date.now() - began) / 20)))) {
    last = await world.api<Run>('GET', `/v1/runs/${run.id}`).catch(() => last)
    if (last.endedAt !== null) return last
    if (Date.now() > began + limitMs)
      throw new Error(`run ${run.id} is still ${last.state} ${limitMs} ms after the injection: ${JSON.stringify(last)}`)
  }
}
