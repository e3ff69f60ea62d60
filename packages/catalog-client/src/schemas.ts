import type { ErrorReport } from '@varve/errors'
import { BASES, type Basis, FULL_REASONS, type FullReason, PRICE_MAX, type Prediction, type Prices } from '@varve/planning'
import { type Static, Type } from '@varve/runtime'
import type { MadePlan, NewImage, SeenVm } from './catalog.ts'
import type {
  AttemptEnd,
  BackupOptions,
  NewPlatform,
  NewRange,
  PlatformLimits,
  PressureReason,
  Priority,
  RangeResult,
  RestoreOptions,
  RunResources,
  SealRequest,
} from './types.ts'
import { LIMIT_RANGES, PRESSURE_REASONS, PRIORITIES } from './types.ts'

/** JSON Schemas of what services send to the catalog. Every length is bounded. */

type Schema = Parameters<typeof Type.Array>[0]
/** Compile-time check that what the schema lets through is the interface's type. */
const matching =
  <T>() =>
  <S extends Schema>(schema: Static<S> extends T ? S : never): S =>
    schema

const name = () => Type.String({ minLength: 1, maxLength: 1024 })
/** The platform's id of a host or a datastore. */
const placeId = () => Type.String({ minLength: 1, maxLength: 200 })
const key = () => Type.String({ minLength: 1, maxLength: 512 })
const text = () => Type.String({ maxLength: 16_384 })
const time = () => Type.String({ minLength: 20, maxLength: 40, pattern: '^\\d{4}-\\d\\d-\\d\\dT[\\d:.]+(Z|[+-]\\d\\d:\\d\\d)$' })
/** Decimal text of an unsigned 64-bit number. */
const checkpointId = () => Type.String({ pattern: '^[0-9]{1,20}$' })
const bytes = () => Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const count = (maximum: number) => Type.Integer({ minimum: 0, maximum })
const milliseconds = () => Type.Number({ minimum: 0 })
const nullable = <S extends Schema>(schema: S) => Type.Union([schema, Type.Null()])
const uuid = () => Type.String({ pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' })
const fullReason = () => Type.Unsafe<FullReason>(Type.String({ enum: Object.keys(FULL_REASONS) }))
const priority = () => Type.Optional(Type.Unsafe<Priority>(Type.String({ enum: [...PRIORITIES] })))
const imageKind = () => Type.Union([Type.Literal('full'), Type.Literal('incremental')])

/** Most ranges of one addRanges call. */
export const RANGES_PER_CALL = 1000
/** Most extents of one range: 256 pages of 256 MiB at 64 KiB, every second one, is 4096 times 128; planning closes a range far earlier. */
export const EXTENTS_PER_RANGE = 16_384

export const newPlatform = matching<NewPlatform>()(
  Type.Object({
    name: Type.String({ minLength: 1, maxLength: 200 }),
    kind: Type.Literal('scp'),
    url: Type.String({ minLength: 1, maxLength: 2048 }),
    transport: Type.Optional(Type.Union([Type.Literal('nbd'), Type.Literal('nbd_ssl')])),
    credentials: Type.Union([Type.Object({ username: name(), password: name() }), Type.Object({ accessKey: name(), secretKey: name() })]),
  }),
)

export const platformLimits = matching<Partial<PlatformLimits>>()(
  Type.Object(
    {
      runs: Type.Optional(Type.Integer(LIMIT_RANGES.runs)),
      runsPerHost: Type.Optional(Type.Integer(LIMIT_RANGES.runsPerHost)),
      openDisksPerHost: Type.Optional(Type.Integer(LIMIT_RANGES.openDisksPerHost)),
      openDisksPerDatastore: Type.Optional(Type.Integer(LIMIT_RANGES.openDisksPerDatastore)),
      bytesPerSecond: Type.Optional(nullable(Type.Integer(LIMIT_RANGES.bytesPerSecond))),
    },
    { additionalProperties: false },
  ),
)
export const pressureReason = () => Type.Unsafe<PressureReason>(Type.String({ enum: [...PRESSURE_REASONS] }))

export const seenVm = matching<SeenVm>()(
  Type.Object({
    platformVmId: name(),
    name: Type.String({ maxLength: 1024 }),
    power: Type.String({ maxLength: 100 }),
    exclusions: Type.Array(text(), { maxItems: 100 }),
    hostId: Type.Optional(placeId()),
    disks: Type.Array(
      Type.Object({ diskId: name(), size: bytes(), datastoreId: Type.Optional(placeId()), excluded: Type.Optional(text()) }),
      { maxItems: 1000 },
    ),
  }),
)

export const backupOptions = matching<BackupOptions>()(
  Type.Object({ full: Type.Optional(Type.Boolean()), enableCbt: Type.Optional(Type.Boolean()), priority: priority() }),
)

export const restoreOptions = matching<RestoreOptions>()(
  Type.Object({
    target: Type.Union([Type.Literal('new-vm'), Type.Literal('original')]),
    differential: Type.Optional(Type.Boolean()),
    name: Type.Optional(name()),
    powerOn: Type.Optional(Type.Boolean()),
    onDamage: Type.Optional(Type.Union([Type.Literal('fail'), Type.Literal('continue')])),
    priority: priority(),
  }),
)

export const idempotencyKey = () => Type.Optional(Type.String({ minLength: 1, maxLength: 255 }))

export const resources = matching<Partial<RunResources>>()(
  Type.Object({
    snapshotName: Type.Optional(nullable(name())),
    snapshotId: Type.Optional(nullable(name())),
    leaseId: Type.Optional(nullable(name())),
    leaseToken: Type.Optional(nullable(Type.String({ minLength: 1, maxLength: 100 }))),
    createdVmId: Type.Optional(nullable(name())),
  }),
)

/** The VM configuration is the platform's own JSON; its size is bounded by the request's. */
export const snapshotId = () => nullable(name())
export const snapshot = matching<{ checkpointId: string; config: Record<string, unknown>; snapshotId?: string | null }>()(
  Type.Object({
    checkpointId: checkpointId(),
    config: Type.Record(Type.String(), Type.Unknown()),
    snapshotId: Type.Optional(snapshotId()),
  }),
)

const basis = () =>
  Type.Object({ from: Type.Unsafe<Basis['from']>(Type.String({ enum: [...BASES] })), runs: count(1000) }, { additionalProperties: false })

const PREDICTED = {
  planned: bytes(),
  read: bytes(),
  exact: Type.Boolean(),
  stored: bytes(),
  puts: bytes(),
  gets: bytes(),
}

export const prediction = matching<Prediction>()(
  Type.Object(
    {
      of: Type.Union([Type.Literal('backup'), Type.Literal('restore')]),
      disks: Type.Array(
        Type.Object(
          {
            diskId: name(),
            diskSize: bytes(),
            kind: Type.Union([imageKind(), Type.Literal('differential')]),
            reason: nullable(fullReason()),
            storedBasis: basis(),
            ...PREDICTED,
          },
          { additionalProperties: false },
        ),
        { maxItems: 1000 },
      ),
      ...PREDICTED,
      seconds: Type.Number({ minimum: 0, maximum: 1e12 }),
      secondsBasis: basis(),
      previewId: nullable(uuid()),
    },
    { additionalProperties: false },
  ),
)

const price = () => Type.Number({ minimum: 0, maximum: PRICE_MAX })
export const prices = matching<Prices>()(
  Type.Object(
    {
      currency: Type.String({ pattern: '^[A-Z]{3}$' }),
      perGibMonth: price(),
      perThousandPuts: price(),
      perThousandGets: price(),
      perGibRead: price(),
    },
    { additionalProperties: false },
  ),
)
export const pricesOrNone = () => nullable(prices)

export const madePlan = matching<MadePlan>()(
  Type.Object({
    snapshotId: Type.Optional(snapshotId()),
    leaseId: Type.Optional(name()),
    prediction: Type.Optional(prediction),
    images: Type.Optional(Type.Array(Type.Object({ imageId: uuid(), ranges: count(2 ** 31 - 1) }), { maxItems: 1000 })),
  }),
)

export const note = () => Type.String({ minLength: 1, maxLength: 2000 })
export const platformVmId = name

export const newImage = matching<NewImage>()(
  Type.Object({
    diskId: name(),
    diskSize: bytes(),
    blockSize: Type.Integer({ minimum: 512, maximum: 64 * 1024 * 1024 }),
    kind: imageKind(),
    reason: nullable(fullReason()),
    parentImageId: nullable(uuid()),
    since: Type.Optional(nullable(checkpointId())),
    cbt: Type.Boolean(),
    sourceImageId: nullable(uuid()),
  }),
)

export const newRange = matching<NewRange>()(
  Type.Object({
    imageId: uuid(),
    index: count(2 ** 31 - 1),
    firstPage: count(2 ** 31 - 1),
    pageCount: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
    extents: Type.Array(Type.Object({ offset: bytes(), length: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }) }), {
      maxItems: EXTENTS_PER_RANGE,
    }),
    bytes: bytes(),
  }),
)

export const rangeResult = matching<RangeResult>()(
  Type.Object({
    read: bytes(),
    written: bytes(),
    unchanged: bytes(),
    zero: bytes(),
    pages: Type.String({ maxLength: 4 * 1024 * 1024, pattern: '^[A-Za-z0-9+/]*={0,2}$' }),
    objects: Type.Array(Type.Object({ key: key(), size: bytes(), kind: Type.Union([Type.Literal('pack'), Type.Literal('map')]) }), {
      maxItems: 16_384,
    }),
    damage: Type.Array(Type.Object({ offset: bytes(), length: bytes(), code: Type.String({ maxLength: 100 }) }), { maxItems: 65_536 }),
    time: Type.Object({ source: milliseconds(), throttle: milliseconds(), cpu: milliseconds(), store: milliseconds() }),
  }),
)

export const attemptId = () => Type.String({ pattern: '^[0-9a-f]{24}$' })
export const worker = () => Type.String({ minLength: 1, maxLength: 200 })
export const attemptEnd = matching<AttemptEnd>()(Type.Union([Type.Literal('failed'), Type.Literal('handed-back')]))

export const progress = matching<{ read: number; written: number }>()(Type.Object({ read: bytes(), written: bytes() }))

export const sealRequest = matching<SealRequest>()(
  Type.Object({
    restorePointId: uuid(),
    createdAt: time(),
    manifestKey: key(),
    parentId: nullable(uuid()),
    images: Type.Array(Type.Object({ imageId: uuid(), rootKey: key(), merkleRoot: key(), cbt: Type.Boolean() }), { maxItems: 1000 }),
  }),
)

export const errorReport = matching<ErrorReport>()(
  Type.Object({ code: Type.String({ minLength: 1, maxLength: 100 }), message: text(), retryable: Type.Boolean() }),
)
