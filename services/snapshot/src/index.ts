export { SNAPSHOT_ERRORS, SnapshotError, type SnapshotErrorCode } from './errors.ts'
export { type SnapshotServiceDeps, startSnapshotService } from './start-snapshot.ts'
