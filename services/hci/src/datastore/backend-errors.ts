import { CbtError } from '@varve/cbt'
import { NbdError, type NbdErrorName } from '@varve/nbd'
import { DatastoreError, type DatastoreErrorCode } from './errors.ts'

const ERRNO: Partial<Record<DatastoreErrorCode, NbdErrorName>> = {
  DATASTORE_FULL: 'ENOSPC',
  READ_ONLY: 'EPERM',
  RANGE_INVALID: 'EINVAL',
  DATASTORE_CLOSED: 'ESHUTDOWN',
  SNAPSHOT_NOT_FOUND: 'ESHUTDOWN',
}

/** Run a request of a backend; what it throws answers the NBD request (EIO where nothing fits better) and has the datastore's error as cause. */
export async function answering<T>(request: () => Promise<T>): Promise<T> {
  try {
    return await request()
  } catch (error) {
    const cause =
      error instanceof CbtError ? new DatastoreError('DATASTORE_DAMAGED', 'a grain map is damaged', error.context, { cause: error }) : error
    if (!(cause instanceof DatastoreError)) throw error
    throw new NbdError('NBD_REQUEST_FAILED', cause.message, { ...cause.context, errno: ERRNO[cause.code] ?? 'EIO' }, { cause })
  }
}
