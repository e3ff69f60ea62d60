import type { Fault } from './driver/fault.ts'
import { allServicesKilled, machineRestarted, platformKilled, siteRestarted } from './faults/everything-killed.ts'
import { maintenanceKilled } from './faults/maintenance-killed.ts'
import { postgresConnectionsCut, postgresKilled, postgresMoved, postgresOutOfConnections } from './faults/postgres.ts'
import { redisEvicting, redisFlushed, redisKilled, redisUnreachable } from './faults/redis.ts'
import { serviceKilled } from './faults/service-killed.ts'
import { servicePaused } from './faults/service-paused.ts'
import { flushedInTenRuns } from './faults/ten-runs.ts'
import { workersOfEight, workersOfOne, workersOfTwo } from './faults/workers.ts'
import { PLATFORM_FAULTS } from './platform-faults.ts'
import { STORE_FAULTS } from './store-faults.ts'

/** In the order of the table; those of one world side by side. */
export const ALL_FAULTS: readonly Fault[] = [
  ...serviceKilled,
  maintenanceKilled,
  ...servicePaused,
  allServicesKilled,
  machineRestarted,
  platformKilled,
  siteRestarted,
  redisKilled,
  redisFlushed,
  flushedInTenRuns,
  redisEvicting,
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
