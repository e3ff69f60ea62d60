/** How much of a platform is used at the same time, over all workers. */
interface PlatformLimits {
  readonly runs: number
  readonly runsPerHost: number
  readonly openDisksPerHost: number
  readonly openDisksPerDatastore: number
}

/**
 * What a platform bears unless the user says otherwise. The last three are the platform's own defaults (agentless tasks per host and opened disks per
 * datastore); more would only wait there.
 */
export const DEFAULT_LIMITS: PlatformLimits = { runs: 32, runsPerHost: 16, openDisksPerHost: 16, openDisksPerDatastore: 10 }

/** The column `platforms.limits` holds what was set; what is absent has its default. */
export function limitsOf(stored: Partial<PlatformLimits>): PlatformLimits {
  return { ...DEFAULT_LIMITS, ...stored }
}

/** What counts while the platform has too much to do: halved once a level, never to nothing. */
export function underPressure(limits: PlatformLimits, level: number): PlatformLimits {
  const halved = (value: number): number => Math.max(1, Math.floor(value / 2 ** level))
  return {
    runs: halved(limits.runs),
    runsPerHost: halved(limits.runsPerHost),
    openDisksPerHost: halved(limits.openDisksPerHost),
    openDisksPerDatastore: halved(limits.openDisksPerDatastore),
  }
}
