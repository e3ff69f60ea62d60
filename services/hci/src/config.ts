import { loadConfig, SERVICE_SETTINGS, type Static, Type } from '@varve/runtime'
import { TLS_MODES } from './options.ts'

const Port = (fallback: number) => Type.Integer({ minimum: 0, maximum: 65535, default: fallback })

/** Settings of the standalone process, from its environment. */
export const HciConfig = Type.Object({
  /** Folder of disks, leases, tasks and the login key; created when absent. One process at a time. */
  VARVE_HCI_DATA_DIR: Type.String({ minLength: 1, default: './hci-data' }),

  /** Address of the SCP OpenAPI and of the NBD ports. The default is reached from this machine only. */
  VARVE_HCI_HOST: Type.String({ minLength: 1, default: '127.0.0.1' }),

  /** TCP port of the SCP OpenAPI (HTTP); 4430 is SCP's. 0 = any free one. */
  VARVE_HCI_PORT: Port(4430),

  /** TCP port of the NBD server for backup applications; 40809 is the first of HCI's range. */
  VARVE_HCI_BACKUP_NBD_PORT: Port(40809),

  /** TLS of that server: off, both (a second port beside the plain one), required (the one port takes nothing else). */
  VARVE_HCI_BACKUP_NBD_TLS: Type.Enum([...TLS_MODES], { default: 'both' }),

  /** TCP port of the NBD server with TLS where there are both; 40810 is the second of HCI's range. */
  VARVE_HCI_BACKUP_NBD_TLS_PORT: Port(40810),

  /** Host name or address that leases name for the NBD port; empty = VARVE_HCI_HOST. Set it behind address translation. */
  VARVE_HCI_ADVERTISE_HOST: Type.Optional(Type.String()),

  /** TCP port of the NBD server for guests; absent = unix socket only. It knows no login: keep it on a trusted network. */
  VARVE_HCI_GUEST_NBD_PORT: Type.Optional(Type.Integer({ minimum: 0, maximum: 65535 })),

  /** Unix socket of the NBD server for guests; empty = guest.sock in the data folder. */
  VARVE_HCI_GUEST_SOCKET: Type.Optional(Type.String()),

  /** Serve guests the disks of VMs that are off, too. */
  VARVE_HCI_GUEST_DISKS_WHILE_OFF: Type.Boolean({ default: false }),

  /** Login of backup applications. */
  VARVE_HCI_USERNAME: Type.String({ minLength: 1, default: 'backup' }),
  VARVE_HCI_PASSWORD: Type.String({ minLength: 1 }),

  /** Access key and secret key for signed calls (AK/SK); both or neither. */
  VARVE_HCI_ACCESS_KEY: Type.Optional(Type.String()),
  VARVE_HCI_SECRET_KEY: Type.Optional(Type.String()),

  /** Seconds that a login token lives. */
  VARVE_HCI_TOKEN_TTL_SECONDS: Type.Integer({ minimum: 1, default: 3600 }),

  /** Calls a minute and address, GET and others; 0 = no limit. A real SCP allows 600 and 100. */
  VARVE_HCI_RATE_LIMIT_GET: Type.Integer({ minimum: 0, default: 12_000 }),
  VARVE_HCI_RATE_LIMIT_OTHER: Type.Integer({ minimum: 0, default: 6_000 }),

  /** Shortest lock_time of a backup resource in seconds; SCP's is 60. */
  VARVE_HCI_MINIMUM_LOCK_SECONDS: Type.Integer({ minimum: 1, maximum: 60, default: 60 }),

  /** Smallest disk in bytes; SCP's is 1 GB, ours is 1 MiB so that trials can be small. */
  VARVE_HCI_MINIMUM_DISK_BYTES: Type.Integer({ minimum: 512, default: 1024 * 1024 }),

  /** Bytes a second at which a deleted snapshot is merged; absent = the datastore's default. HCI's default is 83886080. */
  VARVE_HCI_MERGE_BYTES_PER_SECOND: Type.Optional(Type.Integer({ minimum: 1 })),

  /** Folder of images that POST /varve/v1/import may read; absent = that call is off. */
  VARVE_HCI_IMPORT_DIR: Type.Optional(Type.String()),

  /** Take scripted faults at /varve-test/faults, without a login. For tests only. */
  VARVE_HCI_FAULTS: Type.Boolean({ default: false }),

  ...SERVICE_SETTINGS,
})
export type HciConfig = Readonly<Static<typeof HciConfig>>

export function loadHciConfig(env: NodeJS.ProcessEnv): HciConfig {
  return loadConfig(HciConfig, env)
}
