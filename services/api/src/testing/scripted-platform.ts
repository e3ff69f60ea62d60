import { type PlatformConnection, type PlatformDriver, PlatformError, type PlatformVm } from '@varve/platform'

/** A platform that only lists VMs; a host named `nowhere…` does not answer, the password `wrong` is refused. */
export function openScriptedPlatform(vms: readonly PlatformVm[]): (connection: PlatformConnection) => PlatformDriver {
  return ({ url, credentials }) => {
    const check = (): void => {
      if (new URL(url).hostname.startsWith('nowhere')) throw new PlatformError('PLATFORM_UNREACHABLE', `${url} does not answer`)
      if ('password' in credentials && credentials.password === 'wrong') {
        throw new PlatformError('PLATFORM_AUTH_FAILED', 'the platform refuses the user name or the password')
      }
    }
    const driver: Pick<PlatformDriver, 'version' | 'listVms' | 'close'> = {
      async version() {
        check()
        return '6.9.0'
      },
      async *listVms() {
        check()
        yield* vms
      },
      async close() {},
    }
    return driver as PlatformDriver
  }
}

const GiB = 1024 ** 3

function vm(id: string, name: string, sizes: readonly number[], more: Partial<PlatformVm> = {}): PlatformVm {
  const disks = sizes.map((size, index) => ({ id: `virtio${index}`, size, datastoreId: 'ds-1' }))
  return { id, name, power: 'on', busy: false, disks, exclusions: [], ...more }
}

/** A small fleet in which each VM stands for one fate of its runs (see simulated-runs). */
export const SCRIPTED_VMS: readonly PlatformVm[] = [
  vm('vm-1', 'files-1', [8 * GiB, 40 * GiB]),
  vm('vm-2', 'database-1', [120 * GiB]),
  vm('vm-3', 'occupied-1', [20 * GiB]),
  vm('vm-4', 'damaged-1', [16 * GiB], { power: 'off' }),
  vm('vm-5', 'endless-1', [2048 * GiB]),
  vm('vm-6', 'turbo-1', [4 * GiB], { exclusions: ['turbo'] }),
]
