export { type FaultyServer, type FaultyServerOptions, NBD_FAULTS, type NbdFault, startFaultyServer } from './faulty-server.ts'
export { MemoryBackend, type MemoryBackendOptions } from './memory-backend.ts'
