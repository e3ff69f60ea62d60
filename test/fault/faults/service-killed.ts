import { type Fault, SUCCEEDS } from '../driver/fault.ts'
import { BACKUP_POINTS, COPYING, type Point, RESTORE_COPYING, RESTORE_POINTS } from '../driver/points.ts'
import type { World } from '../driver/world.ts'

const EVERYWHERE = [...BACKUP_POINTS, ...RESTORE_POINTS]
const BESIDE_COPYING = EVERYWHERE.filter(point => !/(first|middle|last)-range$/.test(point))

/** kill -9 of every process of a service at once; a supervisor starts them again a second later. */
export async function killService(world: World, service: string): Promise<void> {
  const hit = [...world.services.values()].filter(({ name }) => name === service || /^(.*)-\d+$/.exec(name)?.[1] === service)
  await Promise.all(hit.map(process => process.kill('SIGKILL')))
  await new Promise(resolve => setTimeout(resolve, 1000))
}

function killed(service: string, where: readonly Point[], quick: readonly Point[]): Fault {
  return {
    name: `${service}-killed`,
    title: `kill -9 of ${service}, started again after 1 s`,
    where,
    quick,
    inject: ({ world }) => killService(world, service),
    expect: SUCCEEDS,
  }
}

export const serviceKilled: readonly Fault[] = [
  killed('catalog', EVERYWHERE, ['sealing', 'lease-unheard']),
  killed('api', ['queued', 'first-range', 'restore-first-range'], ['queued']),
  killed('snapshot', [...BESIDE_COPYING, 'middle-range', 'restore-middle-range'], ['snapshot-unheard', 'restore-lease-unheard']),
  killed('block-reader', COPYING, ['middle-range']),
  killed('block-writer', RESTORE_COPYING, ['restore-middle-range']),
]
