export { launchServices as launchProcesses, type Services as Processes, type ServicesOptions as ProcessesOptions } from '@varve/standalone'

import { type Services, type ServicesOptions, startServices } from '@varve/standalone'

/** Varve as separate processes, the way containers run it; all of them ready. */
export function startProcesses(options: ServicesOptions): Promise<Services> {
  return startServices({ ...options, environment: { VARVE_LOG_LEVEL: process.env.VARVE_TEST_LOG ?? 'error', ...options.environment } })
}
