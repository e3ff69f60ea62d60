import Type, { type Static } from 'typebox'
import type { PlatformDisk, PlatformVm } from '../driver.ts'
import { PlatformError } from '../errors.ts'
import { answerCheck } from './check-answer.ts'

const MiB = 1024 * 1024
const Text = Type.String({ maxLength: 1000 })
/** Booleans are true/false in some examples of the SCP OpenAPI and 0/1 in others. */
const Flag = Type.Union([Type.Boolean(), Type.Literal(0), Type.Literal(1)])

const Server = Type.Object({
  id: Type.String({ pattern: '^[\\w.:-]{1,200}$' }),
  name: Text,
  status: Text,
  power_state: Type.Optional(Text),
  is_stopped: Type.Optional(Flag),
  type: Text,
  vmtype: Text,
  turbo_mode_enabled: Type.Optional(Flag),
  os_name: Type.Optional(Type.Union([Text, Type.Null()])),
  application: Type.Optional(Type.Union([Text, Type.Null()])),
  revert_mode: Type.Optional(Type.Union([Flag, Type.Null()])),
  az_id: Type.Optional(Text),
  /** Null or empty where no host is chosen yet. */
  host_id: Type.Optional(Type.Union([Type.String({ maxLength: 200 }), Type.Null()])),
  /** Only looked at, in whatever shape. */
  description: Type.Optional(Type.Unknown()),
  /** The reference platform's: the task that holds the VM, else empty. */
  task_id: Type.Optional(Text),
  disks: Type.Array(
    Type.Object({
      id: Type.String({ pattern: '^[\\w.:-]{1,100}$' }),
      type: Type.Optional(Text),
      storage_id: Type.Optional(Type.String({ maxLength: 200 })),
      size_mb: Type.Optional(Type.Number({ minimum: 0 })),
      size_gb: Type.Optional(Type.Number({ minimum: 0 })),
      /** The reference platform's: the exact size. */
      size_bytes: Type.Optional(Type.Integer({ minimum: 0 })),
    }),
    { maxItems: 1024 },
  ),
})
export type Server = Static<typeof Server>

export const serverAnswer = answerCheck(Server)
export const serverPageAnswer = answerCheck(
  Type.Object({
    data: Type.Array(Type.Unknown(), { maxItems: 1000 }),
    next_page_num: Type.Union([Type.String({ maxLength: 20 }), Type.Integer()]),
  }),
)

const EXCLUDED_DISKS: Readonly<Record<string, string>> = { share_disk: 'shared', physical_disk: 'physical', rdm_disk: 'rdm' }

/** Why a disk of this `type` is left out; undefined when it is not. */
export function diskExclusion(type: string | undefined): string | undefined {
  return type === undefined ? undefined : EXCLUDED_DISKS[type]
}

/** A server as SCP answers it, in our words. `internalSnapshots` is known only where the snapshots were asked for. */
export function vmOf(server: Server, internalSnapshots: boolean): PlatformVm {
  return {
    id: server.id,
    name: server.name,
    power: powerOf(server),
    // Transitional states end in -ing, except the two in which a VM rests.
    busy: (server.task_id ?? '') !== '' || (/ing$/.test(server.status) && server.status !== 'running'),
    disks: server.disks.map(disk => diskOf(disk)),
    exclusions: exclusionsOf(server, internalSnapshots),
    ...(server.host_id ? { hostId: server.host_id } : {}),
    ...descriptionOf(server),
  }
}

function powerOf({ status, power_state, is_stopped }: Server): PlatformVm['power'] {
  if (status === 'running') return 'on'
  if (status === 'stopped' || power_state === 'off' || is_stopped === 1 || is_stopped === true) return 'off'
  return 'other'
}

function descriptionOf({ description }: Server): Pick<PlatformVm, 'description'> {
  return typeof description === 'string' && description !== '' ? { description: description.slice(0, 2000) } : {}
}

/** The rules of "Which VMs" in the integration guide. */
function exclusionsOf(server: Server, internalSnapshots: boolean): string[] {
  const desk = server.application === 'desk' || server.application === 'DESK_SCENARIO'
  const rules: readonly (readonly [string, boolean])[] = [
    ['not-hci', server.type !== 'hci'],
    ['vm-type', server.vmtype !== 'vm' && server.vmtype !== 'derive'],
    ['turbo', isSet(server.turbo_mode_enabled)],
    ['backup-proxy', server.os_name === 'Backup Proxy'],
    ['desktop-revert', desk && isSet(server.revert_mode)],
    ['internal-snapshots', internalSnapshots],
  ]
  return rules.filter(([, holds]) => holds).map(([name]) => name)
}

function isSet(flag: boolean | 0 | 1 | null | undefined): boolean {
  return flag === true || flag === 1
}

function diskOf(disk: Server['disks'][number]): PlatformDisk {
  const excluded = diskExclusion(disk.type)
  const size = disk.size_bytes ?? (disk.size_mb === undefined ? (disk.size_gb ?? Number.NaN) * 1024 * MiB : disk.size_mb * MiB)
  if (!Number.isSafeInteger(size))
    throw new PlatformError('PLATFORM_ANSWER_INVALID', `VM: the size of disk ${disk.id} is missing or not whole bytes`)
  return { id: disk.id, size, datastoreId: disk.storage_id ?? '', ...(excluded === undefined ? {} : { excluded }) }
}
