import Type from 'typebox'
import type { DiskAddress } from '../driver.ts'
import { PlatformError } from '../errors.ts'
import { answerCheck } from './check-answer.ts'

/**
 * How one gets from a lease to a disk's bytes is not public: the vendor's SDK does it. This file holds the choice of the reference platform,
 * and is what to replace for another one:
 *
 * - `GET backup-resources/{id}` answers, beside the documented fields, `data_access: {transport: "nbd", host, port, secret}`;
 * - under a backup lease the export of a snapshot's disk is named `<secret>/<snapshot id>/<disk id>`, read-only;
 * - under a restore lease the export of the disk itself is named `<secret>/<disk id>`, read-write.
 */
const Access = Type.Object({
  transport: Type.Literal('nbd'),
  host: Type.String({ pattern: '^[\\w.:-]{1,253}$' }),
  port: Type.Integer({ minimum: 1, maximum: 65535 }),
  secret: Type.String({ pattern: '^[\\w.-]{1,200}$' }),
})

const accessAnswer = answerCheck(
  Type.Object({ status: Type.String({ maxLength: 100 }), data_access: Type.Optional(Type.Union([Access, Type.Null()])) }),
)

/** Longest export name that NBD allows, bytes. */
const NAME_MAX = 4096

/** @throws PlatformError LEASE_LOST when the lease doesn't run, PLATFORM_ANSWER_INVALID when the platform names no address */
export function addressOf(backupResource: unknown, diskId: string, snapshotId: string | undefined): DiskAddress {
  const { status, data_access: access } = accessAnswer('data access', backupResource)
  if (status !== 'running' && status !== 'pending') throw new PlatformError('LEASE_LOST', `the lease is ${status}`)
  if (access === undefined || access === null) {
    throw new PlatformError('PLATFORM_ANSWER_INVALID', 'data access: the platform names no address for its data (it may need its own SDK)')
  }
  const exportName = [access.secret, ...(snapshotId === undefined ? [] : [snapshotId]), diskId].join('/')
  if (Buffer.byteLength(exportName) > NAME_MAX)
    throw new PlatformError('PLATFORM_ANSWER_INVALID', 'data access: the export name is too long')
  return { host: access.host, port: access.port, exportName }
}
