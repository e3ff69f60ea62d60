import { LIMIT_RANGES, type PlatformLimits, PRESSURE_MAX, PRESSURE_REASONS, type PressureReason } from '@varve/catalog-client'
import { type Static, Type } from '@varve/runtime'
import { Id, nullable, Time } from './common.ts'

const Transport = Type.Union([Type.Literal('nbd'), Type.Literal('nbd_ssl')], {
  description: 'How disk data travels: NBD in plain text (`nbd`) or over TLS (`nbd_ssl`). Without it: TLS where the platform offers it.',
})

const LIMIT_WORDS = {
  runs: 'Runs under way',
  runsPerHost: 'Runs under way with VMs on one host',
  openDisksPerHost: 'Disks of one host that are read or written',
  openDisksPerDatastore: 'Disks of one datastore that are read or written',
} as const
const limit = (name: keyof typeof LIMIT_WORDS) => Type.Integer({ ...LIMIT_RANGES[name], description: LIMIT_WORDS[name] })
const LIMITS = {
  runs: limit('runs'),
  runsPerHost: limit('runsPerHost'),
  openDisksPerHost: limit('openDisksPerHost'),
  openDisksPerDatastore: limit('openDisksPerDatastore'),
  bytesPerSecond: nullable(
    Type.Integer({ ...LIMIT_RANGES.bytesPerSecond, description: 'Bytes a second of one connection to a disk; null: no limit' }),
  ),
} satisfies Record<keyof PlatformLimits, unknown>

export const LimitsSchema = Type.Object(LIMITS, {
  description: 'How much of the platform is used at the same time, over all workers. Under pressure each is halved once a level.',
})

export const PlatformPatch = Type.Object(
  { limits: Type.Partial(Type.Object(LIMITS), { additionalProperties: false, minProperties: 1 }) },
  { additionalProperties: false, examples: [{ limits: { runs: 8, bytesPerSecond: 50_000_000 } }] },
)

export const PlatformSchema = Type.Object(
  {
    id: Id,
    name: Type.String({ examples: ['cluster-a'] }),
    kind: Type.Literal('scp'),
    url: Type.String({ examples: ['https://scp.example:4430'] }),
    transport: nullable(Transport),
    createdAt: Time,
    limits: LimitsSchema,
    pressure: Type.Object(
      {
        level: Type.Integer({ minimum: 0, maximum: PRESSURE_MAX, description: 'How many times the limits are halved at the moment' }),
        reason: nullable(
          Type.Unsafe<PressureReason>(
            Type.Enum([...PRESSURE_REASONS], {
              description: 'It answered that there are too many calls (`throttled`), or took long (`slow`)',
            }),
          ),
        ),
        at: nullable(Time),
      },
      { description: 'That the platform has too much to do. Each minute without such an answer takes one level off.' },
    ),
    inventory: Type.Object(
      {
        readAt: nullable(Time),
        code: nullable(Type.String()),
        message: nullable(Type.String()),
      },
      { description: 'The last reading of the list of VMs by this process; code and message say why it failed.' },
    ),
  },
  { $id: 'Platform', title: 'Platform', description: 'What runs the VMs. Credentials are stored and never given back.' },
)
export type PlatformAnswer = Static<typeof PlatformSchema>

const secret = (description: string) => Type.String({ minLength: 1, maxLength: 1024, description })

export const NewPlatformSchema = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 100, pattern: '^[^\\x00-\\x1f]+$', examples: ['cluster-a'] }),
    kind: Type.Literal('scp', { default: 'scp' }),
    url: Type.String({
      minLength: 8,
      maxLength: 500,
      description: 'Address of the platform: scheme, host and port.',
      examples: ['https://scp.example:4430'],
    }),
    transport: Type.Optional(Transport),
    credentials: Type.Union([
      Type.Object(
        { username: secret('User name'), password: secret('Password') },
        { additionalProperties: false, title: 'User name and password' },
      ),
      Type.Object(
        { accessKey: secret('Access key'), secretKey: secret('Secret key') },
        { additionalProperties: false, title: 'Access key pair' },
      ),
    ]),
  },
  {
    additionalProperties: false,
    examples: [
      { name: 'cluster-a', kind: 'scp', url: 'https://scp.example:4430', credentials: { username: 'backup', password: '********' } },
    ],
  },
)

export const SyncSchema = Type.Object(
  { vms: Type.Integer({ description: 'VMs that the platform lists' }), readAt: Time },
  { $id: 'Inventory', title: 'Inventory' },
)
