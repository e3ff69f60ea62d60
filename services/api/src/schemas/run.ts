import {
  PRIORITIES,
  type Priority,
  RANGE_TIMES,
  type RangeTime,
  RUN_KINDS,
  RUN_STATES,
  type RunKind,
  type RunState,
} from '@varve/catalog-client'
import { type Static, Type } from '@varve/runtime'
import { Bytes, Id, nullable, pageQuery, Time } from './common.ts'
import { ActualSchema, PredictionSchema } from './cost.ts'

const Totals = Type.Object(
  {
    planned: Type.Number({ description: 'Bytes that CBT named (backup) or that will be written (restore)' }),
    read: Type.Number({ description: 'Bytes read so far: over NBD (backup), from the repository (restore)' }),
    written: Type.Number({ description: 'Bytes stored (backup) or written over NBD (restore)' }),
    unchanged: Type.Number({ description: 'Backup: bytes that CBT named and that turned out equal; not stored again' }),
    zero: Type.Number({ description: 'Bytes of zeroes, not stored; written as holes' }),
    rangesTotal: Type.Integer(),
    rangesDone: Type.Integer(),
  },
  { description: 'Bytes moved so far' },
)

const Reason = nullable(Type.String({ description: 'Why this disk is a full, e.g. `first`, `cbt-expired`', examples: ['first'] }))

const PriorityField = Type.Unsafe<Priority>(
  Type.Enum([...PRIORITIES], {
    description: 'Which runs go first when there are more than the platform may have at a time.',
    default: 'normal',
  }),
)

export const BackupBody = Type.Object(
  {
    full: Type.Optional(Type.Boolean({ description: 'Read every disk in full, even where an incremental is possible.', default: false })),
    enableCbt: Type.Optional(Type.Boolean({ description: 'Turn changed block tracking on where it is off.', default: true })),
    priority: Type.Optional(PriorityField),
  },
  { additionalProperties: false, examples: [{}, { full: true }] },
)

export const RestoreBody = Type.Object(
  {
    target: Type.Union([Type.Literal('new-vm'), Type.Literal('original')], {
      description: '`new-vm` makes a VM from the saved configuration; `original` writes over the VM, which must be off.',
    }),
    differential: Type.Optional(
      Type.Boolean({ description: 'With `original`: write back only what changed since the point.', default: false }),
    ),
    name: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 80,
        pattern: '^[^\\x00-\\x1f]+$',
        description: 'Name of the new VM',
        examples: ['files-1-monday'],
      }),
    ),
    powerOn: Type.Optional(Type.Boolean({ description: 'Power the VM on afterwards.', default: false })),
    onDamage: Type.Optional(
      Type.Union([Type.Literal('fail'), Type.Literal('continue')], {
        description: 'A block that is damaged in the repository: fail the run, or leave a hole, report it and go on.',
        default: 'fail',
      }),
    ),
    priority: Type.Optional(PriorityField),
  },
  {
    additionalProperties: false,
    examples: [
      { target: 'new-vm', name: 'files-1-monday' },
      { target: 'original', differential: true, powerOn: true },
    ],
  },
)

export const PreviewQuery = Type.Object(
  {
    wait: Type.Integer({
      minimum: 0,
      maximum: 60,
      default: 20,
      description: 'Seconds to wait for the preview. It answers 200 once it has ended, 202 when it takes longer.',
    }),
  },
  { additionalProperties: false },
)

const ImageSchema = Type.Object({
  id: Id,
  diskId: Type.String({ examples: ['virtio0'] }),
  diskSize: Bytes,
  blockSize: Bytes,
  kind: Type.Union([Type.Literal('full'), Type.Literal('incremental')]),
  reason: Reason,
  reasonText: nullable(Type.String({ description: 'The reason as a sentence' })),
  parentImageId: nullable(Id),
  totals: Totals,
})

export const RunSchema = Type.Object(
  {
    id: Id,
    kind: Type.Unsafe<RunKind>(
      Type.Enum([...RUN_KINDS], { description: '`preview`: of a backup or a restore; plans it and copies nothing' }),
    ),
    vmId: Id,
    vmName: Type.String(),
    platformId: Id,
    state: Type.Unsafe<RunState>(
      Type.Enum([...RUN_STATES], { description: 'queued → preparing → copying → sealing → finishing → an ended state' }),
    ),
    paused: Type.Boolean({ description: 'Held by its user: nothing is read or written until it is resumed' }),
    priority: Type.Unsafe<Priority>(Type.Enum([...PRIORITIES])),
    outcome: nullable(Type.String({ description: 'Decided before the clean-up is done' })),
    reason: nullable(Type.String({ description: 'Error code when it failed', examples: ['LEASE_OCCUPIED'] })),
    message: nullable(Type.String()),
    help: nullable(Type.String({ description: 'What to do when it failed' })),
    options: Type.Object({}, { additionalProperties: true, description: 'What was asked for' }),
    totals: Totals,
    bottleneck: nullable(
      Type.Unsafe<RangeTime>(
        Type.Enum([...RANGE_TIMES], {
          description:
            "What most of the time went to: the platform's disk (`source`), the limit of its connections (`throttle`), our own processor (`cpu`), the repository (`store`). Null before a range is done.",
        }),
      ),
    ),
    progress: Type.Object({
      fraction: Type.Number({ minimum: 0, maximum: 1 }),
      rate: nullable(Type.Number({ description: 'bytes per second over the last seconds' })),
      remainingSeconds: nullable(Type.Number()),
    }),
    createdAt: Time,
    startedAt: nullable(Time),
    /** When its plan was made, and when its last range was done. */
    plannedAt: nullable(Time),
    copiedAt: nullable(Time),
    endedAt: nullable(Time),
    restorePointId: nullable(Id),
    targetPlatformVmId: nullable(Type.String({ description: 'Restore: the VM it writes to, as the platform names it' })),
    images: Type.Array(ImageSchema, { description: 'One per disk' }),
    notes: Type.Array(Type.String(), { description: 'Warnings: disks left out, damage, CBT turned on' }),
    prediction: nullable(PredictionSchema),
    actual: nullable(ActualSchema),
  },
  { $id: 'Run', title: 'Run', description: 'One attempt at a backup or a restore, or a preview of one.' },
)
export type RunAnswer = Static<typeof RunSchema>

export const RunsQuery = Type.Object(
  {
    vmId: Type.Optional(Id),
    kind: Type.Optional(Type.Unsafe<RunKind>(Type.Enum([...RUN_KINDS]))),
    active: Type.Optional(Type.Boolean({ description: 'true: only runs that have not ended; false: only those that have' })),
    ...pageQuery(50, 500),
  },
  { additionalProperties: false },
)
