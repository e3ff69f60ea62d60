export type { ByteRange, Store, StoredObject } from './store.ts'
