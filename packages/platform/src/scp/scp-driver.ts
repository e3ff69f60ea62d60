import type { Extent } from '@varve/cbt'
import Type from 'typebox'
import type {
  CbtStatus,
  ConfiguredDisk,
  DiskAddress,
  Lease,
  LeaseType,
  PlatformConnection,
  PlatformDriver,
  PlatformSnapshot,
  PlatformVm,
  VmConfig,
} from '../driver.ts'
import { Cbt } from './cbt.ts'
import { answerCheck } from './check-answer.ts'
import { addressOf } from './data-access.ts'
import { Leases } from './leases.ts'
import type { ScpOptions } from './options.ts'
import { ScpClient } from './scp-client.ts'
import { Servers } from './servers.ts'
import { Snapshots } from './snapshots.ts'
import { diskEntries, identityOf } from './vm-config.ts'

const versionAnswer = answerCheck(Type.Object({ build_version: Type.String({ minLength: 1, maxLength: 200 }) }))

/**
 * The driver of Sangfor SCP and of the reference platform: SCP's OpenAPI, as far as agentless backup needs it. Nothing is sent before the
 * first call. @throws PlatformError PLATFORM_REFUSED when the connection's `url` is not an http or https URL.
 */
export function openScpDriver(connection: PlatformConnection, options: ScpOptions = {}): PlatformDriver {
  return new ScpDriver(new ScpClient(connection, options), options, connection.transport)
}

class ScpDriver implements PlatformDriver {
  readonly #client: ScpClient
  readonly #servers: Servers
  readonly #snapshots: Snapshots
  readonly #cbt: Cbt
  readonly #leases: Leases
  readonly #transport: PlatformConnection['transport']

  constructor(client: ScpClient, options: ScpOptions, transport: PlatformConnection['transport']) {
    this.#client = client
    this.#snapshots = new Snapshots(client, options)
    this.#servers = new Servers(client, this.#snapshots, options)
    this.#cbt = new Cbt(client, options)
    this.#leases = new Leases(client, options)
    this.#transport = transport
  }

  async version(signal?: AbortSignal): Promise<string> {
    const answer = await this.#client.call({ method: 'GET', path: '/janus/20180725/system/version', what: 'version', signal })
    return versionAnswer('version', answer).build_version
  }

  listVms(signal?: AbortSignal): AsyncIterable<PlatformVm> {
    return this.#servers.list(signal)
  }

  getVm(vmId: string, signal?: AbortSignal): Promise<PlatformVm> {
    return this.#servers.get(vmId, signal)
  }

  cbtStatus(vmId: string, signal?: AbortSignal): Promise<CbtStatus> {
    return this.#cbt.status(vmId, signal)
  }

  setCbt(vmId: string, change: 'enable' | 'disable' | 'reset', diskIds?: readonly string[], signal?: AbortSignal): Promise<void> {
    return this.#cbt.set(vmId, change, diskIds, signal)
  }

  createSnapshot(vmId: string, name: string, signal?: AbortSignal): Promise<PlatformSnapshot> {
    return this.#snapshots.create(vmId, name, signal)
  }

  listSnapshots(vmId: string, prefix: string, signal?: AbortSignal): Promise<readonly { id: string; name: string; createdAt: string }[]> {
    return this.#snapshots.list(vmId, prefix, signal)
  }

  getSnapshot(vmId: string, snapshotId: string, signal?: AbortSignal): Promise<PlatformSnapshot> {
    return this.#snapshots.get(vmId, snapshotId, signal)
  }

  deleteSnapshot(vmId: string, snapshotId: string, signal?: AbortSignal): Promise<void> {
    return this.#snapshots.delete(vmId, snapshotId, signal)
  }

  configuredDisks(config: VmConfig): readonly ConfiguredDisk[] {
    return diskEntries(config).map(disk => ({ id: String(disk.device_id), ...identityOf(disk) }))
  }

  changedAreas(
    query: { vmId: string; diskId: string; snapshotId: string; since: bigint; diskSize: number },
    signal?: AbortSignal,
  ): AsyncIterable<readonly Extent[]> {
    return this.#cbt.changedAreas(query, signal)
  }

  createLease(vmId: string, type: LeaseType, seconds: number, signal?: AbortSignal, clientToken?: string): Promise<Lease> {
    return this.#leases.create(vmId, type, seconds, clientToken, signal)
  }

  getLease(leaseId: string, signal?: AbortSignal): Promise<Lease> {
    return this.#leases.get(leaseId, signal)
  }

  renewLease(leaseId: string, seconds: number, signal?: AbortSignal): Promise<void> {
    return this.#leases.renew(leaseId, seconds, signal)
  }

  releaseLease(leaseId: string, signal?: AbortSignal): Promise<void> {
    return this.#leases.release(leaseId, signal)
  }

  async diskAddress(leaseId: string, diskId: string, snapshotId?: string, signal?: AbortSignal): Promise<DiskAddress> {
    return addressOf(await this.#leases.read(leaseId, signal), diskId, snapshotId, this.#transport)
  }

  createVm(
    config: VmConfig,
    name: string,
    clientToken: string,
    signal?: AbortSignal,
    onAccepted?: (vmId: string) => Promise<void> | void,
  ): Promise<string> {
    return this.#servers.create({ config, name, clientToken, onAccepted }, signal)
  }

  editVm(vmId: string, config: VmConfig, signal?: AbortSignal): Promise<void> {
    return this.#servers.edit(vmId, config, signal)
  }

  power(vmId: string, state: 'on' | 'off', signal?: AbortSignal): Promise<void> {
    return this.#servers.power(vmId, state, signal)
  }

  deleteVm(vmId: string, signal?: AbortSignal): Promise<void> {
    return this.#servers.delete(vmId, signal)
  }

  close(): Promise<void> {
    return this.#client.close()
  }
}
