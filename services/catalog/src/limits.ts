import type { PlatformLimits } from '@varve/catalog-client'

/**
 * What a platform bears unless the user says otherwise. The three in the middle are the platform's own defaults (agentless tasks per host and opened
 * disks per datastore); more would only wait there.
 */
export const DEFAULT_LIMITS: PlatformLimits = {
  runs: 32,
  runsPerHost: 16,
  openDisksPerHost: 16,
  openDisksPerDatastore: 10,
  bytesPerSecond: null,
}

/** Slower than this a connection does not get, whatever the pressure: one request of 2 MiB must not take until it counts as stalled. */
const BYTES_PER_SECOND_MIN = 256 * 1024

/** The column `platforms.limits` holds what was set; what is absent has its default. */
export function limitsOf(stored: Partial<PlatformLimits>): PlatformLimits {
  return { ...DEFAULT_LIMITS, ...stored }
}

/** What counts while the platform has too much to do: halved once a level, never to nothing. */
export function underPressure(limits: PlatformLimits, level: number): PlatformLimits {
  const halved = (value: number, least: number): number => Math.max(Math.min(value, least), Math.floor(value / 2 ** level))
  return {
    runs: halved(limits.runs, 1),
    runsPerHost: halved(limits.runsPerHost, 1),
    openDisksPerHost: halved(limits.openDisksPerHost, 1),
    openDisksPerDatastore: halved(limits.openDisksPerDatastore, 1),
    bytesPerSecond: limits.bytesPerSecond === null ? null : halved(limits.bytesPerSecond, BYTES_PER_SECOND_MIN),
  }
}
