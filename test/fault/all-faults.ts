import type { Fault } from './driver/fault.ts'
import { allServicesKilled, machineRestarted } from './faults/everything-killed.ts'
import { postgresConnectionsCut, postgresKilled, postgresMoved, postgresOutOfConnections } from './faults/postgres.ts'
import { redisFlushed, redisKilled, redisUnreachable } from './faults/redis.ts'
import { serviceKilled } from './faults/service-killed.ts'
import { servicePaused } from './faults/service-paused.ts'
import { workersOfEight, workersOfOne, workersOfTwo } from './faults/workers.ts'
import { PLATFORM_FAULTS } from './platform-faults.ts'
import { STORE_FAULTS } from './store-faults.ts'

/** In the order of the table; those of one world side by side. */
export const ALL_FAULTS: readonly Fault[] = [
  ...serviceKilled,
  ...servicePaused,
  allServicesKilled,
  machineRestarted,
  redisKilled,
  redisFlushed,
  postgresKilled,
  postgresConnectionsCut,
  postgresOutOfConnections,
  redisUnreachable,
  postgresMoved,
  workersOfOne,
  workersOfTwo,
  workersOfEight,
  ...PLATFORM_FAULTS,
  ...STORE_FAULTS,
]
