export type {
  CbtStatus,
  ConfiguredDisk,
  DiskAddress,
  Lease,
  LeaseType,
  NbdTransport,
  PlatformConnection,
  PlatformDisk,
  PlatformDriver,
  PlatformSnapshot,
  PlatformVm,
  VmConfig,
} from './driver.ts'
export { PLATFORM_ERRORS, PlatformError, type PlatformErrorCode } from './errors.ts'
export { carriesToken, madeWith } from './made-with.ts'
export { openPlatform, type PlatformOptions } from './open-platform.ts'
export type { ScpOptions } from './scp/options.ts'
export { openScpDriver } from './scp/scp-driver.ts'
