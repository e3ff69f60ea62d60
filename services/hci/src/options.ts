import { join, resolve } from 'node:path'
import { GiB, KiB, type Logger, MiB, TiB } from '@varve/runtime'
import type { AccessKey, Account } from './auth/accounts.ts'
import { HciError } from './errors.ts'

export interface Listen {
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Default 0: any free port. */
  readonly port?: number
}

export const TLS_MODES = ['off', 'both', 'required'] as const
export type TlsMode = (typeof TLS_MODES)[number]

/** What `startHci` takes. Everything but the folder, the accounts and the log has a default. */
export interface HciOptions {
  /** Created when absent: `datastore/`, leases, tasks, login key, guest socket. One process at a time. */
  readonly dataDir: string
  readonly accounts: readonly Account[]
  readonly accessKeys?: readonly AccessKey[]
  readonly log: Logger
  /** The SCP OpenAPI, plain HTTP. */
  readonly listen?: Listen
  /**
   * NBD for backup applications. `advertiseHost` is what leases name (default: `host`). `tls`: none, a second port with it beside the plain
   * one (the default), or the one port only with it; with `faults` there is none.
   */
  readonly backupNbd?: Listen & { readonly advertiseHost?: string; readonly tls?: TlsMode; readonly tlsPort?: number }
  /** NBD for guests over TCP; without it guests use the socket only. */
  readonly guestNbd?: Listen
  /** Unix socket of the guest listener (default `<dataDir>/guest.sock`). */
  readonly guestSocket?: string
  /** Serve live disks of VMs that are off, too (default false). */
  readonly guestDisksWhileOff?: boolean
  /** Seconds a login token lives (default 3600). */
  readonly tokenTtlSeconds?: number
  /** Calls a minute and caller; 0 = no limit (defaults 12 000 GET, 6 000 others, 600 public-key). */
  readonly rateLimits?: { readonly get?: number; readonly other?: number; readonly publicKey?: number }
  /** Seconds of a lease's `lock_time` (default 60..7200, as the SCP OpenAPI says). */
  readonly lockTime?: { readonly minimum?: number; readonly maximum?: number }
  /** Bytes of a disk. SCP says 1 GB to 63 TB; our default minimum is 1 MiB so that tests can be small. */
  readonly diskSize?: { readonly minimum?: number; readonly maximum?: number }
  /** Extents in one answer of changed-areas at most (default 4096; SCP's figure is not public). */
  readonly changedAreasPerPage?: number
  /** Bytes of a request body at most (default 1 MiB). */
  readonly bodyLimit?: number
  /** Take scripted faults at `/varve-test/faults` (default false). For tests only. */
  readonly faults?: boolean
  /** The HTTP import reads images from this folder only; absent = the HTTP import is off. */
  readonly importFolder?: string
  /** Bytes a second at which a deleted snapshot is merged (default: the datastore's). */
  readonly mergeBytesPerSecond?: number
}

export type Settings = ReturnType<typeof settle>

/** The options with every default filled in. */
export function settle(options: HciOptions) {
  const dataDir = resolve(options.dataDir)
  const guestSocket = resolve(options.guestSocket ?? join(dataDir, 'guest.sock'))
  if (Buffer.byteLength(guestSocket) > 107) {
    throw new HciError('SOCKET_PATH_TOO_LONG', `the guest socket ${guestSocket} is longer than a unix socket path may be (107 bytes)`)
  }
  const backupHost = options.backupNbd?.host ?? '127.0.0.1'
  return {
    dataDir,
    listen: { host: options.listen?.host ?? '127.0.0.1', port: options.listen?.port ?? 0 },
    backupNbd: {
      host: backupHost,
      port: options.backupNbd?.port ?? 0,
      tls: options.backupNbd?.tls ?? 'both',
      tlsPort: options.backupNbd?.tlsPort ?? 0,
      advertiseHost: options.backupNbd?.advertiseHost ?? (backupHost === '0.0.0.0' || backupHost === '::' ? '127.0.0.1' : backupHost),
    },
    guestNbd: options.guestNbd && { host: options.guestNbd.host ?? '127.0.0.1', port: options.guestNbd.port ?? 0 },
    guestSocket,
    guestDisksWhileOff: options.guestDisksWhileOff ?? false,
    tokenTtlSeconds: options.tokenTtlSeconds ?? 3600,
    rateLimits: {
      get: options.rateLimits?.get ?? 12_000,
      other: options.rateLimits?.other ?? 6_000,
      publicKey: options.rateLimits?.publicKey ?? 600,
    },
    lockTime: { minimum: options.lockTime?.minimum ?? 60, maximum: options.lockTime?.maximum ?? 7200 },
    diskSize: { minimum: options.diskSize?.minimum ?? MiB, maximum: options.diskSize?.maximum ?? 63 * TiB },
    changedAreasPerPage: options.changedAreasPerPage ?? 4 * KiB,
    bodyLimit: options.bodyLimit ?? MiB,
    faults: options.faults ?? false,
    importFolder: options.importFolder,
    mergeBytesPerSecond: options.mergeBytesPerSecond,
  }
}

/** Payload bytes that one NBD listener holds at a time. Two of them and the maps of the disks stay below 300 MB, whatever guests send. */
export const NBD_MEMORY_BYTES = 64 * MiB

/** Bytes that SCP calls 1 GB. */
export const GB = GiB
