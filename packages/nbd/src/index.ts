export type { NbdAddress, NbdClient, NbdClientOptions, ReadPiece } from './client/nbd-client.ts'
export type { NbdBackend, NbdErrorName } from './server/backend.ts'
