import { setTimeout as sleep } from 'node:timers/promises'
import { hasCode } from '@varve/errors'
import { vmConfig } from '../../support/system.ts'
import { type Fault, SUCCEEDS } from '../driver/fault.ts'
import { fullBecause, platformFault } from '../driver/platform-fault.ts'

const DISKS = ['virtio0', 'virtio1']
const MODES = ['overlap', 'backwards', 'past-end', 'endless', 'malformed']

/**
 * What changed can't be told, or is told wrong. One lie is not here because nobody can see it from outside: that nothing changed where something did
 * (`changed-areas` with mode `empty`); only comparing with the disk finds it.
 */
export const cbtFaults: readonly Fault[] = [
  platformFault({
    name: 'cbt-expired',
    title: 'CBT: expired',
    where: ['planning'],
    quick: ['planning'],
    faults: () => [{ kind: 'cbt-expired', count: 1 }],
    expect: SUCCEEDS,
  }),
  platformFault({
    name: 'cbt-impossible',
    title: 'CBT: extents out of order, overlapping, past the end, endless, or malformed',
    where: ['planning'],
    quick: ['planning'],
    faults: ({ random }) => [{ kind: 'changed-areas', count: 1, params: { mode: MODES[random.below(MODES.length)] } }],
    expect: SUCCEEDS,
  }),
  {
    name: 'cbt-other-generation',
    title: 'CBT: reset by somebody else, so that the snapshot is of another generation than the parent',
    where: ['before-snapshot'],
    quick: ['before-snapshot'],
    // At a random time a task may hold the VM.
    inject: ({ world, vm }) => onceIdle(() => world.driver.setCbt(vm.platformVmId, 'reset')),
    async after({ run, point }) {
      // Which may also be after the plan was made.
      return point.endsWith('random') ? [] : fullBecause('cbt-expired', DISKS)(run)
    },
    expect: SUCCEEDS,
  },
  {
    name: 'disk-resized',
    title: 'a disk is made larger between two backups',
    where: ['before-snapshot'],
    notAtRandom: true,
    quick: ['before-snapshot'],
    async inject({ world, vm }) {
      const { disks } = await world.driver.getVm(vm.platformVmId)
      const grown = disks.map(({ id, size }) => ({ id, size: id === 'virtio1' ? size + 64 * 2 ** 20 : size }))
      await world.driver.editVm(vm.platformVmId, vmConfig(vm.name, grown))
    },
    async after({ run }) {
      return fullBecause('disk-resized', ['virtio1'])(run)
    },
    expect: SUCCEEDS,
  },
  {
    name: 'disk-replaced',
    title: 'another disk in the slot of one, tracked on as if it were the same',
    where: ['before-snapshot'],
    notAtRandom: true,
    quick: ['before-snapshot'],
    async inject({ vm }) {
      await vm.replaceDisk('virtio1')
    },
    async after({ run }) {
      return fullBecause('disk-replaced', ['virtio1'])(run)
    },
    expect: SUCCEEDS,
  },
]

/** Again while the VM has another task, for some seconds. */
async function onceIdle(act: () => Promise<unknown>): Promise<void> {
  for (let left = 50; ; left--) {
    try {
      await act()
      return
    } catch (error) {
      if (left === 0 || !hasCode(error, 'VM_BUSY')) throw error
      await sleep(200)
    }
  }
}
