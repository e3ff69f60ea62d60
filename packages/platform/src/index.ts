export type {
  CbtStatus,
  DiskAddress,
  Lease,
  LeaseType,
  PlatformConnection,
  PlatformDisk,
  PlatformDriver,
  PlatformSnapshot,
  PlatformVm,
  VmConfig,
} from './driver.ts'
