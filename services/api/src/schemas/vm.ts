import { type Static, Type } from '@varve/runtime'
import { Bytes, Id, nullable, pageQuery, Time } from './common.ts'

export const VmSchema = Type.Object(
  {
    id: Id,
    platformId: Id,
    platformVmId: Type.String({ description: "The platform's own id of it" }),
    name: Type.String({ examples: ['files-1'] }),
    power: Type.String({ description: 'on, off, other; gone when the platform no longer lists it', examples: ['on'] }),
    exclusions: Type.Array(Type.String(), { description: 'Why it can not be backed up; empty when it can.', examples: [['turbo']] }),
    disks: Type.Array(
      Type.Object({
        diskId: Type.String({ examples: ['virtio0'] }),
        size: Bytes,
        excluded: Type.Optional(Type.String({ description: 'Why this disk is left out' })),
      }),
    ),
    seenAt: Time,
    lastPoint: nullable(Type.Object({ id: Id, createdAt: Time })),
    points: Type.Integer({ description: 'Restore points it has' }),
  },
  { $id: 'Vm', title: 'Vm' },
)
export type VmAnswer = Static<typeof VmSchema>

export const VmsQuery = Type.Object(pageQuery(500, 1000), { additionalProperties: false })
