import type { Accounts } from './auth/accounts.ts'
import { addAuthRoutes } from './auth/routes.ts'
import type { LoginKey } from './auth/rsa.ts'
import type { Tokens } from './auth/tokens.ts'
import { addCbtRoutes } from './cbt/routes.ts'
import { addFaultRoutes } from './faults/routes.ts'
import type { App } from './http/app.ts'
import { addImportRoutes } from './import/routes.ts'
import { addInventoryRoutes } from './inventory/routes.ts'
import { addLeaseRoutes } from './leases/routes.ts'
import type { Platform } from './platform.ts'
import { addServerConfigRoutes } from './servers/config-routes.ts'
import { addPowerRoutes } from './servers/power-routes.ts'
import { addServerRoutes } from './servers/routes.ts'
import { addSnapshotRoutes } from './snapshots/routes.ts'
import { addTaskRoutes } from './tasks/routes.ts'

export interface RouteDeps {
  readonly platform: Platform
  readonly accounts: Accounts
  readonly tokens: Tokens
  readonly key: LoginKey
}

/** Every call of the platform; API.md lists them, and a test keeps the two equal. */
export function addRoutes(app: App, { platform, accounts, tokens, key }: RouteDeps): void {
  addAuthRoutes(app, { accounts, tokens, key })
  addTaskRoutes(app, platform.tasks)
  addInventoryRoutes(app, platform.settings)
  addServerRoutes(app, platform)
  addServerConfigRoutes(app, platform)
  addPowerRoutes(app, platform)
  addSnapshotRoutes(app, platform)
  addCbtRoutes(app, platform)
  addLeaseRoutes(app, platform)
  addImportRoutes(app, platform)
  if (platform.faults.enabled) addFaultRoutes(app, platform)
}
