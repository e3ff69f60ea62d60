import { type Logger, runService } from '@varve/runtime'
import { type HciConfig, loadHciConfig } from './config.ts'
import { startHci } from './hci.ts'
import type { HciOptions } from './options.ts'

/** The reference platform as a process of its own; `--show-config` prints the settings and ends. */
await runService(
  'hci',
  { readConfig: () => loadHciConfig(process.env), needs: ['datastore'] },
  async ({ config, closer, log, readiness }) => {
    const hci = await startHci(optionsOf(config, log))
    closer.add('hci', () => hci.close())
    readiness.set('datastore', async () => {})
  },
)

function optionsOf(config: HciConfig, log: Logger): HciOptions {
  const host = config.VARVE_HCI_HOST
  const { VARVE_HCI_ACCESS_KEY: accessKey, VARVE_HCI_SECRET_KEY: secretKey } = config
  return {
    dataDir: config.VARVE_HCI_DATA_DIR,
    log,
    accounts: [{ username: config.VARVE_HCI_USERNAME, password: config.VARVE_HCI_PASSWORD }],
    accessKeys: accessKey !== undefined && secretKey !== undefined ? [{ accessKey, secretKey }] : [],
    listen: { host, port: config.VARVE_HCI_PORT },
    backupNbd: {
      host,
      port: config.VARVE_HCI_BACKUP_NBD_PORT,
      tls: config.VARVE_HCI_BACKUP_NBD_TLS,
      tlsPort: config.VARVE_HCI_BACKUP_NBD_TLS_PORT,
      ...(config.VARVE_HCI_ADVERTISE_HOST === undefined ? {} : { advertiseHost: config.VARVE_HCI_ADVERTISE_HOST }),
    },
    ...(config.VARVE_HCI_GUEST_NBD_PORT === undefined ? {} : { guestNbd: { host, port: config.VARVE_HCI_GUEST_NBD_PORT } }),
    ...(config.VARVE_HCI_GUEST_SOCKET === undefined ? {} : { guestSocket: config.VARVE_HCI_GUEST_SOCKET }),
    guestDisksWhileOff: config.VARVE_HCI_GUEST_DISKS_WHILE_OFF,
    tokenTtlSeconds: config.VARVE_HCI_TOKEN_TTL_SECONDS,
    rateLimits: { get: config.VARVE_HCI_RATE_LIMIT_GET, other: config.VARVE_HCI_RATE_LIMIT_OTHER },
    lockTime: { minimum: config.VARVE_HCI_MINIMUM_LOCK_SECONDS },
    diskSize: { minimum: config.VARVE_HCI_MINIMUM_DISK_BYTES },
    ...(config.VARVE_HCI_MERGE_BYTES_PER_SECOND === undefined ? {} : { mergeBytesPerSecond: config.VARVE_HCI_MERGE_BYTES_PER_SECOND }),
    ...(config.VARVE_HCI_IMPORT_DIR === undefined ? {} : { importFolder: config.VARVE_HCI_IMPORT_DIR }),
    faults: config.VARVE_HCI_FAULTS,
  }
}
