import { type Fault, SUCCEEDS } from '../driver/fault.ts'
import { platformFault } from '../driver/platform-fault.ts'
import type { WorldOptions } from '../driver/world.ts'

/** A task that makes no progress for 5 s never ends; in an installation it is 10 minutes. */
const IMPATIENT: WorldOptions = { environment: { VARVE_TASK_STALL_SECONDS: '5' } }

export const platformTasks: readonly Fault[] = [
  platformFault({
    name: 'snapshot-fails',
    title: 'platform: the task that takes the snapshot fails',
    where: ['before-snapshot'],
    quick: ['before-snapshot'],
    faults: () => [{ kind: 'task-fail', match: { action: 'snapshot_create' }, params: { message: 'no space for a snapshot' } }],
    expect: [{ state: 'failed', reason: 'TASK_FAILED' }],
  }),
  platformFault({
    name: 'snapshot-stays',
    title: 'platform: the task that deletes the snapshot fails twice',
    where: ['cleaning-up'],
    quick: ['cleaning-up'],
    faults: () => [{ kind: 'task-fail', match: { action: 'snapshot_delete' }, count: 2 }],
    expect: SUCCEEDS,
  }),
  platformFault({
    name: 'snapshot-never-ends',
    title: 'platform: the task that takes the snapshot stands still for 20 s, four times what is borne',
    world: IMPATIENT,
    where: ['before-snapshot'],
    quick: ['before-snapshot'],
    faults: () => [{ kind: 'task-slow', match: { action: 'snapshot_create' }, count: 1, params: { ms: 20_000 } }],
    // A later attempt may find the snapshot that came after all.
    expect: [{ state: 'failed', reason: 'TASK_TIMEOUT' }, { state: 'failed', reason: 'VM_BUSY' }, ...SUCCEEDS],
  }),
]
