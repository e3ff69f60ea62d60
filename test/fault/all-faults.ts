import type { Fault } from './driver/fault.ts'
import { serviceKilled } from './faults/service-killed.ts'

/** In the order of the table; those of one world side by side. */
export const ALL_FAULTS: readonly Fault[] = [...serviceKilled]
