export { SNAPSHOT_ERRORS, SnapshotError, type SnapshotErrorCode } from './errors.ts'
export { restorePointIdOf } from './restore-point-id.ts'
export { type SnapshotServiceDeps, startSnapshotService } from './start-snapshot.ts'
