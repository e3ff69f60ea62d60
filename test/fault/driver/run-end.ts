import type { Run } from '@varve/catalog-client'
import type { World } from './world.ts'

/** The api may be away meanwhile. */
export async function endOf(world: World, run: Run, limitMs: number): Promise<Run> {
  let last: Run = run
  for (const deadline = Date.now() + limitMs; ; await new Promise(resolve => setTimeout(resolve, 50))) {
    last = await world.api<Run>('GET', `/v1/runs/${run.id}`).catch(() => last)
    if (last.endedAt !== null) return last
    if (Date.now() > deadline)
      throw new Error(`run ${run.id} is still ${last.state} ${limitMs} ms after the injection: ${JSON.stringify(last)}`)
  }
}
