import { type Static, Type } from '@varve/runtime'
import { Id, nullable, Time } from './common.ts'

const Transport = Type.Union([Type.Literal('nbd'), Type.Literal('nbd_ssl')], {
  description: 'How disk data travels: NBD in plain text (`nbd`) or over TLS (`nbd_ssl`). Without it: TLS where the platform offers it.',
})

export const PlatformSchema = Type.Object(
  {
    id: Id,
    name: Type.String({ examples: ['cluster-a'] }),
    kind: Type.Literal('scp'),
    url: Type.String({ examples: ['https://scp.example:4430'] }),
    transport: nullable(Transport),
    createdAt: Time,
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
