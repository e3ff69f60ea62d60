import { type Fault, SUCCEEDS } from '../driver/fault.ts'
import { platformFault } from '../driver/platform-fault.ts'
import { COPYING, RESTORE_COPYING } from '../driver/points.ts'
import { clearScripts, script, scriptedHits } from '../driver/scripted.ts'

const OCCUPIED = [{ state: 'failed', reason: 'LEASE_OCCUPIED' }] as const
/** Taken again or given up; which depends on who notices first. */
const LOST = [...SUCCEEDS, { state: 'failed', reason: 'LEASE_LOST' }] as const

const REFUSED_RENEWAL = { kind: 'http-status', match: { method: 'PUT', path: '/backup-resources/' }, params: { status: 404 } } as const

export const leaseFaults: readonly Fault[] = [
  platformFault({
    name: 'lease-refused',
    title: 'platform: no lease is given',
    where: ['before-lease', 'restore-before-lease'],
    quick: ['before-lease'],
    faults: () => [{ kind: 'lease-refused' }],
    expect: OCCUPIED,
  }),
  occupied({ name: 'vm-occupied', title: 'another backup application holds the VM', ms: undefined, expect: OCCUPIED }),
  occupied({ name: 'vm-occupied-briefly', title: 'another backup application holds the VM for 3 s', ms: 3000, expect: SUCCEEDS }),
  {
    name: 'lease-lost',
    title: 'platform: the lease is taken away',
    where: [...COPYING, ...RESTORE_COPYING],
    quick: ['middle-range'],
    async inject({ world }) {
      await script(world, { kind: 'lease-lost' })
    },
    expect: LOST,
  },
  {
    name: 'lease-not-renewable',
    title: 'platform: every renewal of the lease is refused',
    where: ['first-range', 'restore-first-range'],
    quick: ['first-range'],
    notAtRandom: true,
    // A range takes longer than renewals are apart; until one was refused: for ever, no range would ever be done under one lease.
    slowTo: 200_000,
    async inject({ world }) {
      await script(world, REFUSED_RENEWAL)
      for (const deadline = Date.now() + 20_000; Date.now() < deadline; await new Promise(resolve => setTimeout(resolve, 50))) {
        if (((await scriptedHits(world)).at(-1) ?? 0) > 0) return
      }
      throw new Error('the lease was not renewed in 20 s')
    },
    heal: ({ world }) => script(world, REFUSED_RENEWAL),
    async after({ world }) {
      await clearScripts(world)
      return []
    },
    expect: LOST,
  },
]

/** A lease that we did not take. */
function occupied({ ms, ...fault }: Pick<Fault, 'name' | 'title' | 'expect'> & { readonly ms: number | undefined }): Fault {
  let lease: string | undefined
  return {
    ...fault,
    where: ['before-lease'],
    quick: ['before-lease'],
    notAtRandom: true,
    async inject({ world, vm }) {
      const { id } = await world.driver.createLease(vm.platformVmId, 'backup', 120)
      lease = id
    },
    async heal({ world }) {
      if (ms === undefined || lease === undefined) return
      await new Promise(resolve => setTimeout(resolve, ms))
      await world.driver.releaseLease(lease)
    },
    async after({ world }) {
      if (lease !== undefined) await world.driver.releaseLease(lease)
      lease = undefined
      return []
    },
  }
}
