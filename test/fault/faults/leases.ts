import { type Fault, SUCCEEDS } from '../driver/fault.ts'
import { platformFault } from '../driver/platform-fault.ts'
import { COPYING, RESTORE_COPYING } from '../driver/points.ts'

const OCCUPIED = [{ state: 'failed', reason: 'LEASE_OCCUPIED' }] as const
/** Taken again or given up; which depends on who notices first. */
const LOST = [...SUCCEEDS, { state: 'failed', reason: 'LEASE_LOST' }] as const

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
      await world.platformCall('POST', '/varve-test/faults', { kind: 'lease-lost' })
    },
    expect: LOST,
  },
  platformFault({
    name: 'lease-not-renewable',
    title: 'platform: every renewal of the lease is refused',
    where: ['first-range', 'restore-first-range'],
    quick: ['first-range'],
    faults: () => [
      { kind: 'http-status', match: { method: 'PUT', path: '/backup-resources/' }, params: { status: 404 } },
      // Long enough for two rounds of renewals; for ever, no range would ever be done under one lease.
      { kind: 'nbd', count: 4, params: { mode: 'slow', bytes_per_second: 100_000 } },
    ],
    expect: LOST,
  }),
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
