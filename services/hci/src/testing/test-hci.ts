import { constants, createPublicKey, publicEncrypt } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectNbd, type NbdClient } from '@varve/nbd'
import { createLogger, MiB, sleep } from '@varve/runtime'
import { type Hci, startHci } from '../hci.ts'
import { inventory } from '../inventory/inventory.ts'
import type { HciOptions } from '../options.ts'

export const ACCOUNT = { username: 'backup', password: 'pässword "1"' }
export const ACCESS_KEY = { accessKey: 'AKTEST', secretKey: 'a secret key' }

export interface Answer {
  readonly status: number
  readonly headers: Headers
  /** The whole envelope. */
  readonly body: Record<string, unknown>
  // biome-ignore lint/suspicious/noExplicitAny: tests look at answers of every shape
  readonly data: any
}

/** A platform in a folder of its own, and the calls a test makes. `restart` keeps the folder. */
export class TestHci {
  hci: Hci
  token = ''
  readonly #options: HciOptions

  private constructor(hci: Hci, options: HciOptions) {
    this.hci = hci
    this.#options = options
  }

  static async start(options: Partial<HciOptions> = {}): Promise<TestHci> {
    const dataDir = await mkdtemp(join(tmpdir(), 'varve-hci-'))
    const all = { dataDir, accounts: [ACCOUNT], accessKeys: [ACCESS_KEY], log: createLogger('hci', 'silent'), ...options }
    const test = new TestHci(await startHci(all), all)
    await test.login()
    return test
  }

  get dataDir(): string {
    return this.#options.dataDir
  }

  async restart(): Promise<void> {
    await this.hci.close()
    this.hci = await startHci(this.#options)
    await this.login()
  }

  async close(): Promise<void> {
    await this.hci.close()
    await rm(this.dataDir, { recursive: true, force: true })
  }

  async login(): Promise<void> {
    const key = await this.call('GET', '/janus/public-key')
    const answer = await this.call('POST', '/janus/authenticate', {
      auth: { passwordCredentials: { username: ACCOUNT.username, password: encrypted(key.data.public_key, ACCOUNT.password) } },
    })
    this.token = answer.data.access.token.id
  }

  async call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const response = await fetch(this.hci.url + path, {
      method,
      headers: {
        ...(this.token === '' ? {} : { authorization: `Token ${this.token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const parsed = (await response.json()) as Record<string, unknown>
    return { status: response.status, headers: response.headers, body: parsed, data: parsed.data }
  }

  /** The task's last state. */
  async ended(taskId: string): Promise<{ readonly status: string; readonly progress: number; readonly description: string }> {
    for (;;) {
      const { data } = await this.call('GET', `/janus/20180725/tasks/${taskId}`)
      if (data.status !== 'waiting' && data.status !== 'doing') return data
      await sleep(5)
    }
  }

  /** A call whose task must finish; its `data`. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look at answers of every shape
  async done(method: string, path: string, body?: unknown): Promise<any> {
    const answer = await this.call(method, path, body)
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    const task = await this.ended(answer.data.task_id)
    if (task.status !== 'finish') throw new Error(`${method} ${path}: ${task.status} ${task.description}`)
    return answer.data
  }

  async createVm(name: string, disks: Record<string, number> = { virtio0: MiB }, fields: Record<string, unknown> = {}): Promise<string> {
    return (await this.done('POST', '/janus/20180725/servers/config', newVm(name, disks, fields))).uuid
  }

  guest(vm: string, diskId = 'virtio0'): Promise<NbdClient> {
    return connectNbd({ path: this.hci.guestSocket, exportName: `${vm}/${diskId}` })
  }

  async snapshot(vmId: string, name: string): Promise<string> {
    return (await this.done('POST', `/janus/20190725/servers/${vmId}/snapshots`, { name })).resource_id
  }

  async lease(vmId: string, type: 'backup' | 'restore', lock_time = 120): Promise<string> {
    return (await this.done('POST', '/janus/20180725/backup-resources', { server_id: vmId, type, lock_time })).resource_id
  }

  /** Over the lease's NBD port. */
  async leased(leaseId: string, ...parts: string[]): Promise<NbdClient> {
    const { data } = await this.call('GET', `/janus/20180725/backup-resources/${encodeURIComponent(leaseId)}`)
    const { host, port, secret } = data.data_access
    return connectNbd({ host, port, exportName: [secret, ...parts].join('/') })
  }
}

export function newVm(name: string, disks: Record<string, number>, fields: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    name,
    az_id: inventory.az.id,
    datastore_id: inventory.storage.id,
    os_option: { arch: 'x86_64', distribution_name: 'Debian', kernel_name: 'linux' },
    hardware_option: { disks: Object.entries(disks).map(([device_id, size_bytes]) => ({ device_id, size_bytes })) },
    ...fields,
  }
}

/** What clients do with the hex modulus. */
export function encrypted(modulus: string, password: string, padding = constants.RSA_PKCS1_PADDING): string {
  const key = createPublicKey({
    key: { kty: 'RSA', n: Buffer.from(modulus.trim(), 'hex').toString('base64url'), e: 'AQAB' },
    format: 'jwk',
  })
  return publicEncrypt({ key, padding, oaepHash: 'sha1' }, Buffer.from(password)).toString('hex')
}
