export { blockOf } from './blocks.ts'
export { type FakeS3, type FakeS3Answer, s3Faults, startFakeS3 } from './fake-s3.ts'
export { type RunningMinio, startMinio } from './minio.ts'
export { testStore } from './test-store.ts'
