import { type NbdBackend, NbdError, type NbdServer, startNbdServer } from '@varve/nbd'
import type { Logger } from '@varve/runtime'
import type { Datastore } from '../datastore/datastore.ts'
import type { Faults } from '../faults/faults.ts'
import { startNbdProxy } from '../faults/nbd-proxy.ts'
import type { Lease } from '../leases/lease.ts'
import type { Leases } from '../leases/leases.ts'
import { NBD_MEMORY_BYTES, type Settings, type TlsMode } from '../options.ts'
import { requireSnapshot } from '../snapshots/snapshot-id.ts'
import { openClusterTls } from './cluster-ca.ts'
import { gated } from './gated-backend.ts'

/**
 * How a backup application gets from a lease to the data. SCP's way is not public (the SDK hides it), so all of this is **our choice**,
 * and all of it is in this file:
 *
 * - `GET backup-resources/{id}` of a running lease answers `data_access: {transport, host, port, tls_port, secret}`: `port` speaks `transport`,
 *   `tls_port` is there when `nbd_ssl` is, and takes what `ca_cert` has issued.
 * - The NBD ports serve `<secret>/<snapshot id>/<disk id>` under a backup lease, read-only,
 *   and `<secret>/<disk id>` under a restore lease, read-write, the VM being off.
 * - Names are secrets: NBD_OPT_LIST answers nothing, and a wrong secret, snapshot or disk is an unknown export.
 */
export type Transport = 'nbd' | 'nbd_ssl'

export interface DataAccess {
  readonly transport: Transport
  readonly host: string
  readonly port: number
  readonly tls_port?: number
  readonly secret: string
}

export interface BackupExports {
  dataAccess(lease: Lease): DataAccess
  readonly transports: readonly Transport[]
  /** Certificate of the authority for `nbd_ssl`, base64 DER; empty without it. */
  readonly caCert: string
  /** Where the NBD port is: the one without TLS, where there is one. */
  readonly address: { readonly host: string; readonly port: number }
  close(): Promise<void>
}

const TRANSPORTS = { off: ['nbd'], both: ['nbd', 'nbd_ssl'], required: ['nbd_ssl'] } as const satisfies Record<
  TlsMode,
  readonly Transport[]
>

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

  // A fault is meant for one disk, and the proxy can't see through TLS which it is.
  const tlsMode = faults.enabled ? 'off' : settings.backupNbd.tls
  const cluster = tlsMode === 'off' ? undefined : await openClusterTls(settings.dataDir, settings.backupNbd.advertiseHost)
  const { host, advertiseHost } = settings.backupNbd
  const server = await startNbdServer({
    memoryBytes: NBD_MEMORY_BYTES,
    // With faults on, the proxy takes the public port.
    listen: faults.enabled ? { host: '127.0.0.1', port: 0 } : { host, port: settings.backupNbd.port },
    ...(cluster === undefined
      ? {}
      : { tls: { ...cluster, ...(tlsMode === 'both' ? { listen: { host, port: settings.backupNbd.tlsPort } } : {}) } }),
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
  const inner = tcpAddress(server.address)
  const tlsPort = server.tlsAddress === undefined ? undefined : tcpAddress(server.tlsAddress).port
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
    transports: TRANSPORTS[tlsMode],
    caCert: cluster?.caCert ?? '',
    dataAccess: lease => ({
      transport: tlsMode === 'required' ? 'nbd_ssl' : 'nbd',
      host: advertiseHost,
      port: address.port,
      ...(tlsPort === undefined ? {} : { tls_port: tlsPort }),
      secret: lease.secret,
    }),
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

export function tcpAddress(address: NbdServer['address']): { readonly host: string; readonly port: number } {
  if (!('port' in address)) throw new TypeError('the server listens on a path')
  return address
}
