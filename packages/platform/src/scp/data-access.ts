import { X509Certificate } from 'node:crypto'
import Type from 'typebox'
import type { DiskAddress, NbdTransport } from '../driver.ts'
import { PlatformError } from '../errors.ts'
import { answerCheck } from './check-answer.ts'

/**
 * How one gets from a lease to a disk's bytes is not public: the vendor's SDK does it. This file holds the choice of the reference platform,
 * and is what to replace for another one:
 *
 * - `GET backup-resources/{id}` answers, beside the documented fields, `data_access: {transport, host, port, tls_port?, secret}`;
 *   `transport` (`nbd`, `nbd_ssl`) is that of `port`, NBD over TLS is at `tls_port`, with a certificate that `ca_cert` (documented) has issued;
 * - under a backup lease the export of a snapshot's disk is named `<secret>/<snapshot id>/<disk id>`, read-only;
 * - under a restore lease the export of the disk itself is named `<secret>/<disk id>`, read-write.
 */
const Access = Type.Object({
  transport: Type.Union([Type.Literal('nbd'), Type.Literal('nbd_ssl')]),
  host: Type.String({ pattern: '^[\\w.:-]{1,253}$' }),
  port: Type.Integer({ minimum: 1, maximum: 65535 }),
  tls_port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65535 })),
  secret: Type.String({ pattern: '^[\\w.-]{1,200}$' }),
})

const accessAnswer = answerCheck(
  Type.Object({
    status: Type.String({ maxLength: 100 }),
    ca_cert: Type.Optional(Type.Union([Type.String({ maxLength: 65_536 }), Type.Null()])),
    data_access: Type.Optional(Type.Union([Access, Type.Null()])),
  }),
)

/** Longest export name that NBD allows, bytes. */
const NAME_MAX = 4096

/**
 * `transport` absent: TLS where the platform offers it. Who could change that answer could change the authority in it, too, so this is as safe
 * as the connection to the platform.
 *
 * @throws PlatformError LEASE_LOST when the lease doesn't run, PLATFORM_ANSWER_INVALID when the platform names no address,
 * PLATFORM_REFUSED when it does not offer the transport that was asked for
 */
export function addressOf(backupResource: unknown, diskId: string, snapshotId: string | undefined, transport?: NbdTransport): DiskAddress {
  const { status, ca_cert: caCert, data_access: access } = accessAnswer('data access', backupResource)
  if (status !== 'running' && status !== 'pending') throw new PlatformError('LEASE_LOST', `the lease is ${status}`)
  if (access === undefined || access === null) {
    throw new PlatformError('PLATFORM_ANSWER_INVALID', 'data access: the platform names no address for its data (it may need its own SDK)')
  }
  const exportName = [access.secret, ...(snapshotId === undefined ? [] : [snapshotId]), diskId].join('/')
  if (Buffer.byteLength(exportName) > NAME_MAX)
    throw new PlatformError('PLATFORM_ANSWER_INVALID', 'data access: the export name is too long')
  const tlsPort = access.tls_port ?? (access.transport === 'nbd_ssl' ? access.port : undefined)
  if (transport !== 'nbd' && tlsPort !== undefined) {
    return { host: access.host, port: tlsPort, exportName, tls: { ca: authorityOf(caCert ?? '') } }
  }
  if (transport === 'nbd_ssl' || access.transport === 'nbd_ssl') {
    const offered = access.transport === 'nbd' ? 'nbd' : 'nbd_ssl'
    throw new PlatformError('PLATFORM_REFUSED', `the platform offers the transport ${offered}, not ${transport}`, { transport })
  }
  return { host: access.host, port: access.port, exportName }
}

/** PEM of base64 DER. Line breaks in it are fine. */
function authorityOf(text: string): string {
  try {
    return new X509Certificate(Buffer.from(text, 'base64')).toString()
  } catch (cause) {
    throw new PlatformError('PLATFORM_ANSWER_INVALID', 'data access: ca_cert is not a certificate', {}, { cause })
  }
}
