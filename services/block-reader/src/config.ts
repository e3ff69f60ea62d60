import { LANE_SETTINGS, WORKER_SETTINGS } from '@varve/range-worker'
import { loadConfig, type Static, Type } from '@varve/runtime'

/** Where catalog, queue and repository are, and how many lanes: described in `packages/range-worker/src/settings.ts`. */
const BlockReaderConfig = Type.Object({ ...WORKER_SETTINGS, ...LANE_SETTINGS })
export type BlockReaderConfig = Readonly<Static<typeof BlockReaderConfig>>

/** @throws RuntimeError CONFIG_INVALID */
export function loadBlockReaderConfig(env: NodeJS.ProcessEnv): BlockReaderConfig {
  return loadConfig(BlockReaderConfig, env)
}
