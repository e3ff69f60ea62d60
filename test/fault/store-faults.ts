import type { Fault } from './driver/fault.ts'
import { storeCuts } from './faults/store-cuts.ts'
import { storeHides } from './faults/store-hides.ts'
import { storeKilled } from './faults/store-killed.ts'
import { storeLies } from './faults/store-lies.ts'
import { storeRefuses } from './faults/store-refuses.ts'

/** Of the object store. */
export const STORE_FAULTS: readonly Fault[] = [...storeKilled, ...storeRefuses, ...storeCuts, ...storeHides, ...storeLies]
