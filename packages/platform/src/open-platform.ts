import type { PlatformConnection, PlatformDriver } from './driver.ts'
import { PlatformError } from './errors.ts'
import type { ScpOptions } from './scp/options.ts'
import { openScpDriver } from './scp/scp-driver.ts'

/** Settings of every kind of driver; each takes what concerns it. */
export type PlatformOptions = ScpOptions

/**
 * The driver of a connection's kind. Nothing is sent before the first call; `driver.version()` proves address and credentials.
 *
 * @throws PlatformError PLATFORM_REFUSED when the kind or the URL is unknown
 */
export function openPlatform(connection: PlatformConnection, options: PlatformOptions = {}): PlatformDriver {
  switch (connection.kind) {
    case 'scp':
      return openScpDriver(connection, options)
    default:
      // Kinds come from the catalog, which another version may have written.
      throw new PlatformError('PLATFORM_REFUSED', `no driver for platforms of kind ${String(connection.kind).slice(0, 50)}`)
  }
}
