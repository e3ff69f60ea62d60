import type { Logger } from '@varve/runtime'
import type { ApiDeps } from '../build-api.ts'
import { type ApiService, startApiService } from '../start-api-service.ts'
import { MemoryCatalog } from './memory-catalog.ts'
import { openScriptedPlatform, SCRIPTED_VMS } from './scripted-platform.ts'
import { simulateRuns } from './simulated-runs.ts'

export interface ScriptedApi extends ApiService {
  readonly memory: MemoryCatalog
  readonly token: string
}

export const SCRIPTED_TOKEN = 'scripted-token-0123456789'

/** The real api over a memory catalog whose runs live by themselves: for tests of what speaks to the api. */
export async function startScriptedApi(options: {
  readonly log: Logger
  readonly ticks?: number
  readonly tickMs?: number
  readonly port?: number
  readonly more?: Partial<ApiDeps>
}): Promise<ScriptedApi> {
  const memory = new MemoryCatalog()
  const stop = simulateRuns(memory, { ticks: options.ticks ?? 8, tickMs: options.tickMs ?? 40 })
  const api = await startApiService({
    catalog: memory.catalog,
    openPlatform: openScriptedPlatform(SCRIPTED_VMS),
    token: SCRIPTED_TOKEN,
    log: options.log,
    watchInterval: 50,
    listen: { host: '127.0.0.1', port: options.port ?? 0 },
    ...options.more,
  })
  return {
    url: api.url,
    memory,
    token: SCRIPTED_TOKEN,
    async close() {
      stop()
      await api.close()
    },
  }
}
