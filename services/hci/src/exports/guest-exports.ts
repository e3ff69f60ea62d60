import { rm } from 'node:fs/promises'
import { type ExportResolver, NbdError, startNbdServer } from '@varve/nbd'
import { Closer, type Logger } from '@varve/runtime'
import type { Datastore, VmRecord } from '../datastore/datastore.ts'
import type { Leases } from '../leases/leases.ts'
import { NBD_MEMORY_BYTES, type Settings } from '../options.ts'
import { tcpAddress } from './data-access.ts'
import { gated } from './gated-backend.ts'

/** The disks as guests see them: export `<VM name or id>/<disk id>`, read-write, listable, while the VM runs. */
export interface GuestExports {
  readonly socket: string
  readonly tcp: { readonly host: string; readonly port: number } | undefined
  /** Close every guest connection to this VM's disks. */
  closeVm(vm: VmRecord): Promise<void>
  close(): Promise<void>
}

export async function startGuestExports(deps: {
  readonly settings: Settings
  readonly datastore: Datastore
  readonly leases: Leases
  readonly log: Logger
}): Promise<GuestExports> {
  const { settings, datastore, leases, log } = deps
  const served = (vm: VmRecord): boolean => (vm.power === 'on' || settings.guestDisksWhileOff) && leases.holding(vm.id)?.type !== 'restore'

  const exports: ExportResolver = {
    async open(name) {
      const slash = name.lastIndexOf('/')
      const vm = find(datastore, name.slice(0, slash))
      const disk = vm?.disks.find(d => d.id === name.slice(slash + 1))
      if (vm === undefined || disk === undefined) throw new NbdError('NBD_EXPORT_UNKNOWN', 'no such VM or disk')
      if (!served(vm)) throw new NbdError('NBD_REFUSED', 'the VM is off or locked by a restore')
      const backend = await datastore.openDisk(vm.id, disk.id)
      log.info({ vmId: vm.id, diskId: disk.id }, 'guest disk opened')
      // The restore's writes must not mix with a guest's.
      return gated(backend, () => leases.holding(vm.id)?.type !== 'restore')
    },
    async list() {
      return datastore
        .listVms()
        .filter(served)
        .flatMap(vm => vm.disks.map(disk => `${vm.name}/${disk.id}`))
    },
  }

  const closer = new Closer()
  try {
    // Left behind by a killed process; the datastore's lock says that nobody else uses it.
    await rm(settings.guestSocket, { force: true })
    const options = { exports, log, maxConnections: 1024, memoryBytes: NBD_MEMORY_BYTES }
    const local = await startNbdServer({ ...options, listen: { path: settings.guestSocket } })
    closer.add('guest socket', () => local.close())
    const tcp = settings.guestNbd && (await startNbdServer({ ...options, listen: settings.guestNbd }))
    if (tcp !== undefined) closer.add('guest port', () => tcp.close())
    return {
      socket: settings.guestSocket,
      tcp: tcp && { host: settings.guestNbd?.host ?? '127.0.0.1', port: tcpAddress(tcp.address).port },
      async closeVm(vm) {
        const names = vm.disks.flatMap(disk => [`${vm.id}/${disk.id}`, `${vm.name}/${disk.id}`])
        await Promise.all(names.flatMap(name => [local.closeExport(name), tcp?.closeExport(name)]))
      },
      close: () => closer.close(),
    }
  } catch (error) {
    await closer.close()
    throw error
  }
}

function find(datastore: Datastore, nameOrId: string): VmRecord | undefined {
  const vms = datastore.listVms()
  return vms.find(vm => vm.id === nameOrId) ?? vms.find(vm => vm.name === nameOrId)
}
