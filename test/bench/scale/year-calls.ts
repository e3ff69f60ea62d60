import { randomUUID } from 'node:crypto'
import { type Catalog, placeAfter, type Vm } from '@varve/catalog-client'
import { failedOn, idOf } from './fill-year.ts'
import { Histogram } from './histogram.ts'

export interface YearCalls {
  readonly catalog: Catalog
  readonly vms: readonly Vm[]
  readonly days: number
  readonly random: () => number
}

/** What users and services ask of a catalog with a year in it; each for another VM and day every time. */
export function yearCalls({ catalog, vms, days, random }: YearCalls): Readonly<Record<string, () => Promise<unknown>>> {
  const some = (n: number): number => Math.floor(random() * n)
  const vm = (): Vm => vms[some(vms.length)]!
  const point = (): { v: number; d: number } => {
    for (;;) {
      const [v, d] = [numberOf(vm()), 1 + some(days)]
      if (!failedOn(v, d)) return { v, d }
    }
  }
  const before = (): string => new Date(Date.now() - some(days) * 86_400_000).toISOString()
  const place = (): string => placeAfter({ id: randomUUID(), createdAt: before() })
  const keys: { vmId: string; key: string }[] = []
  return {
    'listPoints(vm), newest 200': () => catalog.listPoints(vm().id),
    'listPoints(), newest 100': () => catalog.listPoints(undefined, { limit: 100 }),
    'listPoints(), 200 from anywhere': () => catalog.listPoints(undefined, { after: place() }),
    getPoint: () => catalog.getPoint(pointId(point())),
    parentPoint: () => catalog.parentPoint(vm().id),
    getPointConfig: () => catalog.getPointConfig(pointId(point())),
    getImageRoot: () => {
      const { v, d } = point()
      return catalog.getImageRoot(idOf('image', v, d, some(2)))
    },
    'listRuns(), newest 50': () => catalog.listRuns(),
    'listRuns(), 50 from anywhere': () => catalog.listRuns({ after: place() }),
    'listRuns(vm)': () => catalog.listRuns({ vmId: vm().id }),
    'listRuns(active)': () => catalog.listRuns({ active: true, limit: 500 }),
    'listRuns(restores)': () => catalog.listRuns({ kind: 'restore' }),
    getRun: () => catalog.getRun(idOf('run', numberOf(vm()), 1 + some(days))),
    getRunForWork: () => catalog.getRunForWork(idOf('run', numberOf(vm()), 1 + some(days))),
    'listVms(), 500 from anywhere': () => catalog.listVms({ after: placeAfter({ id: randomUUID(), name: vm().name }) }),
    getVm: () => catalog.getVm(vm().id),
    activeLeases: () => catalog.activeLeases(),
    'createBackup, then cancelled': async () => {
      const { id: vmId } = vm()
      const key = randomUUID()
      const began = performance.now()
      const run = await catalog.createBackup(vmId, {}, key).catch(() => null)
      const ms = performance.now() - began
      if (run === null) return ms
      keys.push({ vmId, key })
      await catalog.cancelRun(run.id)
      return ms
    },
    'createBackup, its key again': async () => {
      const again = keys[some(keys.length)]
      if (again !== undefined) await catalog.createBackup(again.vmId, {}, again.key)
    },
  }
}

export const numberOf = (vm: Pick<Vm, 'platformVmId'>): number => Number(/\d+$/.exec(vm.platformVmId)?.[0])

const pointId = ({ v, d }: { v: number; d: number }): string => idOf('point', v, d)

/** `users` at once go through all the calls in turn, each beginning at another one, until every call was made `times` times. */
export async function measureCalls(
  calls: Readonly<Record<string, () => Promise<unknown>>>,
  times: number,
  users: number,
  /** What a user does between two calls. */
  think: () => Promise<unknown> | null = () => null,
  over: () => boolean = () => false,
): Promise<Map<string, Histogram>> {
  const names = Object.keys(calls)
  const found = new Map(names.map(name => [name, new Histogram()]))
  let next = 0
  const user = async (): Promise<void> => {
    while (next < times * names.length && !over()) {
      // Coprime step, so that neighbours in time are not neighbours in the list.
      const name = names[(next++ * 7) % names.length]!
      const began = performance.now()
      const told = await calls[name]!()
      found.get(name)!.add(typeof told === 'number' ? told : performance.now() - began)
      await think()
    }
  }
  await Promise.all(Array.from({ length: users }, user))
  return found
}
