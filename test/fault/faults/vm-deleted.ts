import type { Run } from '@varve/catalog-client'
import { type Fault, SUCCEEDS } from '../driver/fault.ts'
import { endOf } from '../driver/run-end.ts'
import { script } from '../driver/scripted.ts'
import { makeVm } from '../driver/vm.ts'

const LIMIT_MS = 120_000
/** Whoever notices first: the lease went with the VM, or the VM is not there. */
const REASONS = ['VM_NOT_FOUND', 'LEASE_LOST', 'SNAPSHOT_NOT_FOUND']

let made = 0
let doomed: Run | undefined

/** Of a VM of its own, beside a run that nothing happens to. */
export const vmDeleted: Fault = {
  name: 'vm-deleted',
  title: `a VM is deleted during its backup, beside another run (which succeeds): failed (${REASONS.join(', ')})`,
  where: ['middle-range'],
  quick: ['middle-range'],
  async inject({ world }) {
    made += 1
    const vm = await makeVm(world, `doomed-${made}`)
    const run = await world.api<Run>('POST', `/v1/vms/${vm.vmId}/backups`, {})
    doomed = run
    for (const deadline = Date.now() + LIMIT_MS; ; await new Promise(resolve => setTimeout(resolve, 20))) {
      const { state, totals } = await world.api<Run>('GET', `/v1/runs/${run.id}`)
      if (state === 'copying' && totals.rangesDone > 0) break
      if (state === 'finishing' || Date.now() > deadline) throw new Error(`the VM to be deleted could not be caught: its run is ${state}`)
    }
    // An administrator's way: the lease is broken, the VM is switched off and goes, with whatever it has.
    await script(world, { kind: 'lease-lost', match: { vm_id: vm.platformVmId } })
    await world.platformCall('POST', '/varve-test/delete-vm', { vm_id: vm.platformVmId })
  },
  async after({ world }) {
    if (doomed === undefined) return []
    const run = await endOf(world, doomed, LIMIT_MS)
    doomed = undefined
    const asTold = run.state === 'failed' && REASONS.includes(run.reason ?? '')
    return asTold ? [] : [`the run of the VM that was deleted is ${run.state} (${run.reason}: ${run.message})`]
  },
  expect: SUCCEEDS,
}
