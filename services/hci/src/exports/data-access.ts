import { type NbdBackend, NbdError, type NbdServer, startNbdServer } from '@varve/nbd'
import type { Logger } from '@varve/runtime'
import type { Datastore } from '../datastore/datastore.ts'
import type { Faults } from '../faults/faults.ts'
import { startNbdProxy } from '../faults/nbd-proxy.ts'
import type { Lease } from '../leases/lease.ts'
import type { Leases } from '../leases/leases.ts'
import type { Settings } from '../options.ts'
import { requireSnapshot } from '../snapshots/snapshot-id.ts'
import { gated } from './gated-backend.ts'

/**
 * How a backup application gets from a lease to the data. SCP's way is not public (the SDK hides it), so all of this is **our choice**,
 * and all of it is in this file:
 *
 * - `GET backup-resources/{id}` of a running lease answers `data_access: {transport: "nbd", host, port, secret}`.
 * - One NBD port serves `<secret>/<snapshot id>/<disk id>` under a backup lease, read-only,
 *   and `<secret>/<disk id>` under a restore lease, read-write, the VM being off.
 * - Names are secrets: NBD_OPT_LIST answers nothing, and a wrong secret, snapshot or disk is an unknown export.
 */
export interface DataAccess {
  readonly transport: 'nbd'
  readonly host: string
  readonly port: number
  readonly secret: string
}

export interface BackupExports {
  dataAccess(lease: Lease): DataAccess
  /** Where the NBD port is. */
  readonly address: { readonly host: string; readonly port: number }
  close(): Promise<void>
}

export async function startBackupExports(deps: {
  readonly settings: Settings
  readonly datastore: Datastore
  readonly leases: Leases
  readonly faults: Faults
  readonly log: Logger
}): Promise<BackupExports> {
  const { settings, leases, faults, log } = deps
  /** Export names that were opened, by lease. */
  const opened = new Map<string, Set<string>>()

  const server = await startNbdServer({
    // With faults on, the proxy takes the public port.
    listen: faults.enabled ? { host: '127.0.0.1', port: 0 } : settings.backupNbd,
    exports: {
      async open(name) {
        const { lease, backend } = await openLeased(name, deps)
        opened.set(lease.id, (opened.get(lease.id) ?? new Set()).add(name))
        log.info(
          { leaseId: lease.id, vmId: lease.vmId, export: name.slice(name.indexOf('/') + 1), readOnly: backend.readOnly },
          'export opened',
        )
        return backend
      },
    },
    log,
    maxConnections: 1024,
  })
  const inner = tcpAddress(server)
  const proxy = faults.enabled ? await startNbdProxy({ listen: settings.backupNbd, target: inner, faults }) : undefined
  const address = { host: settings.backupNbd.host, port: proxy?.port ?? inner.port }

  leases.onEnd = lease => {
    for (const name of opened.get(lease.id) ?? []) {
      server.closeExport(name).catch(error => log.error({ err: error, leaseId: lease.id }, 'export not closed cleanly'))
    }
    opened.delete(lease.id)
  }
  return {
    address,
    dataAccess: lease => ({ transport: 'nbd', host: settings.backupNbd.advertiseHost, port: address.port, secret: lease.secret }),
    async close() {
      await proxy?.close()
      await server.close()
    },
  }
}

async function openLeased(
  name: string,
  { datastore, leases }: { readonly datastore: Datastore; readonly leases: Leases },
): Promise<{ readonly lease: Lease; readonly backend: NbdBackend }> {
  const [secret = '', first = '', second, ...more] = name.split('/')
  const lease = leases.bySecret(secret)
  if (lease === undefined || more.length > 0) throw unknown()
  const live = (): boolean => leases.isRunning(lease.id)

  if (lease.type === 'restore') {
    if (second !== undefined || datastore.getVm(lease.vmId).power !== 'off') throw unknown()
    return { lease, backend: gated(await datastore.openDisk(lease.vmId, first).catch(hidden), live) }
  }
  if (second === undefined) throw unknown()
  const snapshot = requireSnapshotOrUnknown(datastore, lease.vmId, first)
  // Noted before it is opened: from here on the snapshot can't be deleted under the reader.
  await leases.noteSnapshotRead(lease.id, first)
  return { lease, backend: gated(await datastore.openSnapshotDisk(lease.vmId, snapshot, second).catch(hidden), live) }
}

function requireSnapshotOrUnknown(datastore: Datastore, vmId: string, id: string): string {
  try {
    return requireSnapshot(datastore.getVm(vmId), id).id
  } catch (error) {
    return hidden(error)
  }
}

/** Whatever the datastore says of a wrong name, the peer only hears that there is no such export. */
function hidden(cause: unknown): never {
  throw unknown(cause)
}

function unknown(cause?: unknown): NbdError {
  return new NbdError('NBD_EXPORT_UNKNOWN', 'no such export', {}, cause === undefined ? {} : { cause })
}

export function tcpAddress(server: NbdServer): { readonly host: string; readonly port: number } {
  if (!('port' in server.address)) throw new TypeError('the server listens on a path')
  return server.address
}
