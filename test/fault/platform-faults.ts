import type { Fault } from './driver/fault.ts'
import { cbtFaults } from './faults/cbt.ts'
import { leaseFaults } from './faults/leases.ts'
import { nbdBreaks } from './faults/nbd-breaks.ts'
import { platformRefuses } from './faults/platform-refuses.ts'
import { platformTasks } from './faults/platform-tasks.ts'
import { vmDeleted } from './faults/vm-deleted.ts'

/** Of the platform. */
export const PLATFORM_FAULTS: readonly Fault[] = [
  ...platformRefuses,
  ...leaseFaults,
  ...nbdBreaks,
  ...cbtFaults,
  vmDeleted,
  ...platformTasks,
]
