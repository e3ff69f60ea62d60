import { type ChildProcess } from 'node:child_process'
import type { BackupOptions, RestoreOptions, Run } from '@varve/catalog-client'
import { type NbdClient } from '@varve/nbd'
import { type PlatformDriver } from '@varve/platform'
import { Closer } from '@varve/runtime'
import { type Standalone, type StandaloneOptions } from '@varve/standalone'
export declare const ROOT: string
/** The reference platform as a process of its own, which tests may kill and start again on the same folder. */
export interface PlatformUnderTest {
  readonly url: string
  readonly guestSocket: string
  readonly credentials: {
    readonly username: string
    readonly password: string
  }
  readonly process: ChildProcess
  stop(signal?: NodeJS.Signals): Promise<void>
}
export declare function startPlatform(dataDir: string, extra?: readonly string[], port?: number): Promise<PlatformUnderTest>
/** A platform and a Varve, and the short cuts that tests want. */
export interface System {
  readonly folder: string
  readonly platform: PlatformUnderTest
  /** The one that runs now. */
  readonly varve: Standalone
  /** Stop Varve, do something to its home, start it again: nothing is left in any cache. */
  restartVarve(meanwhile?: () => Promise<void>): Promise<void>
  readonly driver: PlatformDriver
  readonly closer: Closer
  readonly platformId: string
  /** Make a VM with empty disks, powered on, known to Varve. */
  createVm(
    name: string,
    disks: readonly {
      readonly id: string
      readonly size: number
    }[],
  ): Promise<{
    vmId: string
    platformVmId: string
  }>
  /** Varve's id of a platform's VM, after reading the inventory again. */
  vmId(platformVmId: string): Promise<string>
  /** The live disk, as the guest has it. */
  guest(platformVmId: string, diskId: string): Promise<NbdClient>
  startBackup(vmId: string, options?: BackupOptions): Promise<Run>
  backup(vmId: string, options?: BackupOptions): Promise<Run>
  restore(pointId: string, options: RestoreOptions): Promise<Run>
  ended(run: Run, ms?: number): Promise<Run>
  api<Answer>(method: string, path: string, body?: unknown): Promise<Answer>
  /** A call to the platform's own HTTP API (test faults, import). */
  platformCall<Answer>(method: string, path: string, body?: unknown): Promise<Answer>
  close(): Promise<void>
}
export interface SystemOptions {
  readonly standalone?: Partial<StandaloneOptions>
  readonly platformArgs?: readonly string[]
}
export declare function startSystem(options?: SystemOptions): Promise<System>
/** A VM configuration as the platform's snapshots record it. */
export declare function vmConfig(
  name: string,
  disks: readonly {
    readonly id: string
    readonly size: number
  }[],
): Record<string, unknown>
//# sourceMappingURL=system.d.ts.map
