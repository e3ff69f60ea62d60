import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Closer } from '@varve/runtime'
import { Accounts } from './auth/accounts.ts'
import { addGuard } from './auth/guard.ts'
import { openLoginKey } from './auth/rsa.ts'
import { Tokens } from './auth/tokens.ts'
import type { Datastore, VmRecord } from './datastore/datastore.ts'
import { openDatastore } from './datastore/open-datastore.ts'
import { startBackupExports } from './exports/data-access.ts'
import { startGuestExports } from './exports/guest-exports.ts'
import { Faults } from './faults/faults.ts'
import { createApp } from './http/app.ts'
import { addClientTokens } from './http/client-token.ts'
import { type ImportOptions, importImage, isBeingImported } from './import/import-image.ts'
import { Leases } from './leases/leases.ts'
import { type HciOptions, settle } from './options.ts'
import type { Platform } from './platform.ts'
import { addRoutes } from './routes.ts'
import { VmNames } from './servers/vm-names.ts'
import { Tasks } from './tasks/tasks.ts'

/** A running reference platform. */
export interface Hci {
  /** Base of the SCP OpenAPI: `http://127.0.0.1:PORT`. */
  readonly url: string
  readonly port: number
  /** NBD for backup applications, as leases name it. */
  readonly backupNbd: { readonly host: string; readonly port: number }
  /** NBD for guests. */
  readonly guestSocket: string
  readonly guestNbd: { readonly host: string; readonly port: number } | undefined
  /** The disks themselves: for tests and demos that act as the hardware. */
  readonly datastore: Datastore
  /** A new VM from image files (see ImportOptions). */
  importImage(options: ImportOptions): Promise<VmRecord>
  close(): Promise<void>
}

/** Start the reference platform; throws when the folder is in use or a port is taken. */
export async function startHci(options: HciOptions): Promise<Hci> {
  const settings = settle(options)
  const { log } = options
  const { dataDir } = settings
  const closer = new Closer()
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 })
    // First, because its lock says that no other process uses the folder.
    const datastore = await openDatastore(join(dataDir, 'datastore'), {
      log,
      ...(settings.mergeBytesPerSecond === undefined ? {} : { mergeRate: settings.mergeBytesPerSecond }),
    })
    closer.add('datastore', () => datastore.close())
    await removeLeftovers(dataDir, datastore)
    const key = await openLoginKey(join(dataDir, 'login-key.pem'))
    const faults = new Faults(settings.faults)
    const leases = await Leases.open(join(dataDir, 'leases.json'), log)
    closer.add('leases', () => leases.close())
    const backups = await startBackupExports({ settings, datastore, leases, faults, log })
    closer.add('backup NBD', () => backups.close())
    const guests = await startGuestExports({ settings, datastore, leases, log })
    closer.add('guest NBD', () => guests.close())
    const tasks = await Tasks.open(join(dataDir, 'tasks.jsonl'), log)
    closer.add('tasks', () => tasks.close())

    const names = new VmNames(datastore)
    const platform: Platform = { settings, datastore, tasks, leases, faults, backups, guests, names, log }
    const accounts = new Accounts(options.accounts, options.accessKeys ?? [])
    const tokens = new Tokens(settings.tokenTtlSeconds)
    const app = createApp({ bodyLimit: settings.bodyLimit, log, faults })
    addGuard(app, { settings, accounts, tokens })
    addClientTokens(app)
    addRoutes(app, { platform, accounts, tokens, key })
    closer.add('HTTP', () => app.close())
    const port = Number(new URL(await app.listen(settings.listen)).port) || settings.listen.port
    log.info({ port, backupNbd: backups.address, guestSocket: guests.socket, vms: datastore.listVms().length }, 'reference platform ready')

    return {
      url: `http://${settings.listen.host === '0.0.0.0' ? '127.0.0.1' : settings.listen.host}:${port}`,
      port,
      backupNbd: { host: settings.backupNbd.advertiseHost, port: backups.address.port },
      guestSocket: guests.socket,
      guestNbd: guests.tcp,
      datastore,
      importImage: wanted => importImage(datastore, names, dataDir, wanted),
      close: () => closer.close(),
    }
  } catch (error) {
    await closer.close().catch(() => {})
    throw error
  }
}

/** What an import had made when the process was killed: raw copies, and VMs whose disks are not whole. */
async function removeLeftovers(dataDir: string, datastore: Datastore): Promise<void> {
  for (const vm of datastore.listVms()) if (isBeingImported(vm)) await datastore.deleteVm(vm.id)
  for (const name of await readdir(dataDir)) {
    if (/^import-.*\.raw$/.test(name)) await rm(join(dataDir, name), { force: true })
  }
}
