import type { World } from './world.ts'

/** As services/hci/API.md has them. */
export interface ScriptedFault {
  readonly kind: string
  readonly match?: Readonly<Record<string, string>>
  readonly count?: number
  readonly params?: Readonly<Record<string, unknown>>
}

export async function script(world: World, fault: ScriptedFault): Promise<void> {
  await world.platformCall('POST', '/varve-test/faults', fault)
}

/** Whatever was scripted, also by whoever holds a step. */
export async function clearScripts(world: World): Promise<void> {
  await world.platformCall('DELETE', '/varve-test/faults')
}

/** How often each of the faults that the platform has now has struck, oldest first. */
export async function scriptedHits(world: World): Promise<readonly number[]> {
  const { faults } = await world.platformCall<{ faults: { hits: number }[] }>('GET', '/varve-test/faults')
  return faults.map(({ hits }) => hits)
}
