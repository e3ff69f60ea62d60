import { type Static, Type } from '@varve/runtime'
import { Bytes, Id, nullable, pageQuery, Time } from './common.ts'

const PointImage = Type.Object({
  imageId: Id,
  diskId: Type.String({ examples: ['virtio0'] }),
  diskSize: Bytes,
  blockSize: Bytes,
  kind: Type.Union([Type.Literal('full'), Type.Literal('incremental')]),
  reason: nullable(Type.String({ description: 'Why it is a full', examples: ['first'] })),
  reasonText: nullable(Type.String()),
  read: Type.Number({ description: 'Bytes read over NBD' }),
  stored: Type.Number({ description: 'Bytes added to the repository' }),
  cbt: Type.Boolean({ description: 'Can the next backup be an incremental of it?' }),
})

export const PointSchema = Type.Object(
  {
    id: Id,
    vmId: Id,
    vmName: Type.String(),
    runId: Id,
    createdAt: Time,
    checkpointId: Type.String({ description: 'Decimal text of the 64-bit checkpoint id', examples: ['4294967298'] }),
    parentId: nullable(Id),
    chainId: Id,
    images: Type.Array(PointImage),
    stored: Type.Number({ description: 'Bytes that this point added to the repository' }),
  },
  {
    $id: 'RestorePoint',
    title: 'RestorePoint',
    description: 'A VM at one time: one image per disk and its configuration. Every point can be restored by itself.',
  },
)
export type PointAnswer = Static<typeof PointSchema>

const page = pageQuery(200, 1000)
export const PointsQuery = Type.Object({ vmId: Type.Optional(Id), ...page }, { additionalProperties: false })
export const PointsOfVmQuery = Type.Object(page, { additionalProperties: false })
