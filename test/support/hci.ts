import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Hci, type HciOptions, plainVmConf, startHci } from '@varve/hci'
import { createLogger } from '@varve/runtime'

/** The reference platform inside the test's process, in a folder of its own. */
export interface LocalHci {
  readonly hci: Hci
  readonly account: { readonly username: string; readonly password: string }
  readonly accessKey: { readonly accessKey: string; readonly secretKey: string }
  /** A VM with empty disks, powered off, CBT off; its id. */
  createVm(name: string, disks: readonly { readonly id: string; readonly size: number }[], conf?: Record<string, unknown>): Promise<string>
  close(): Promise<void>
}

export async function startLocalHci(options: Partial<HciOptions> = {}): Promise<LocalHci> {
  const dataDir = await mkdtemp(join(tmpdir(), 'varve-hci-'))
  const account = { username: 'backup', password: 'pässword "1"' }
  const accessKey = { accessKey: 'AKTEST', secretKey: 'a secret key' }
  const hci = await startHci({ dataDir, accounts: [account], accessKeys: [accessKey], log: createLogger('hci', 'fatal'), ...options })
  return {
    hci,
    account,
    accessKey,
    createVm: async (name, disks, conf = {}) => {
      const config = { vmconf: { ...plainVmConf(name, disks), ...conf }, suspended: false, vmNumber: 1, snapshotNotes: {} }
      return (await hci.datastore.createVm({ name, config, disks })).id
    },
    close: async () => {
      await hci.close()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}
