import type { CheckWithFindings } from '@varve/catalog-client'
import type { World } from './world.ts'

/** As it is when it is done or has failed, or after so long. */
export async function endOfCheck(world: World, id: string, limitMs: number): Promise<CheckWithFindings> {
  for (const deadline = Date.now() + limitMs; ; await new Promise(resolve => setTimeout(resolve, 200))) {
    const check = await world.api<CheckWithFindings>('GET', `/v1/checks/${id}`)
    if (check.state === 'done' || check.state === 'failed' || Date.now() > deadline) return check
  }
}
