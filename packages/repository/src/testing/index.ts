export { blockOf } from './blocks.ts'
export { type RunningMinio, startMinio } from './minio.ts'
export { testStore } from './test-store.ts'
