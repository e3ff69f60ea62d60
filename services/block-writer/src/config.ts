import { LANE_SETTINGS, WORKER_SETTINGS } from '@varve/range-worker'
import { loadConfig, type Static, Type } from '@varve/runtime'

/** Where catalog, queue and repository are, and how many lanes: described in `packages/range-worker/src/settings.ts`. */
const BlockWriterConfig = Type.Object({ ...WORKER_SETTINGS, ...LANE_SETTINGS })
export type BlockWriterConfig = Readonly<Static<typeof BlockWriterConfig>>

/** @throws RuntimeError CONFIG_INVALID */
export function loadBlockWriterConfig(env: NodeJS.ProcessEnv): BlockWriterConfig {
  return loadConfig(BlockWriterConfig, env)
}
