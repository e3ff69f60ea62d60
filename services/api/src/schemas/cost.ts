import { BASES, type Basis, PRICE_MAX } from '@varve/planning'
import { type Static, Type } from '@varve/runtime'
import { Bytes, Id, nullable } from './common.ts'

const BasisField = Type.Object(
  {
    from: Type.Unsafe<Basis['from']>(
      Type.Enum([...BASES], {
        description: 'Past runs of this disk, of this VM, of its platform; `default`: there are none, a fixed figure was taken',
      }),
    ),
    runs: Type.Integer({ description: 'How many past runs' }),
  },
  { description: 'What an estimate was made from' },
)

const PriceField = nullable(
  Type.Object(
    {
      currency: Type.String({ examples: ['EUR'] }),
      run: Type.Number({ description: 'Once: requests, and in a restore the bytes read from the repository' }),
      perMonth: Type.Number({ description: 'For as long as what was stored is kept' }),
    },
    { description: 'By the prices that are set now; null: none are (`PUT /v1/repository/prices`)' },
  ),
)

const FIGURES = {
  planned: Type.Number({ description: 'Bytes that changed block tracking names (backup) or that will be written (restore)' }),
  read: Type.Number({ description: 'Bytes to be read: over NBD (backup), from the repository (restore)' }),
  exact: Type.Boolean({
    description: '`read` is exact as long as nothing is written meanwhile. False: an upper bound (backup) or an estimate (restore).',
  }),
  stored: Type.Number({ description: 'Bytes that the repository will grow by; estimated' }),
  puts: Type.Integer({ description: 'PUT requests to the repository' }),
  gets: Type.Integer({ description: 'GET requests to the repository' }),
}

export const PredictionSchema = Type.Object(
  {
    of: Type.Union([Type.Literal('backup'), Type.Literal('restore')]),
    ...FIGURES,
    seconds: Type.Number({ description: 'From start to end' }),
    secondsBasis: BasisField,
    price: PriceField,
    previewId: nullable(Id),
    disks: Type.Array(
      Type.Object({
        diskId: Type.String({ examples: ['virtio0'] }),
        diskSize: Bytes,
        kind: Type.Union([Type.Literal('full'), Type.Literal('incremental'), Type.Literal('differential')]),
        reason: nullable(Type.String({ description: 'Why this disk would be a full, e.g. `first`, `cbt-expired`' })),
        reasonText: nullable(Type.String({ description: 'The reason as a sentence' })),
        ...FIGURES,
        storedBasis: BasisField,
        price: PriceField,
      }),
    ),
  },
  { description: 'What was expected when the run was planned; the result of a preview. `previewId`: the preview whose figures were kept.' },
)

export const ActualSchema = Type.Object(
  {
    read: Bytes,
    stored: Bytes,
    puts: nullable(Type.Integer({ description: 'Packs, maps, roots and manifest; without tries that were given up' })),
    seconds: Type.Number(),
    price: PriceField,
  },
  { description: 'What it was in the end, of a run that succeeded. GETs are not counted; in the price they are those of the prediction.' },
)

const price = (description: string) => Type.Number({ minimum: 0, maximum: PRICE_MAX, description })

export const PricesSchema = Type.Object(
  {
    currency: Type.String({ pattern: '^[A-Z]{3}$', description: 'ISO 4217', examples: ['EUR'] }),
    perGibMonth: price('One GiB kept for a month'),
    perThousandPuts: price('1,000 PUT requests'),
    perThousandGets: price('1,000 GET requests'),
    perGibRead: price('One GiB read from the repository'),
  },
  {
    additionalProperties: false,
    description: 'What the repository costs, as you set it.',
    examples: [{ currency: 'EUR', perGibMonth: 0.023, perThousandPuts: 0.005, perThousandGets: 0.0004, perGibRead: 0.09 }],
  },
)
export const PricesAnswer = Type.Object({ prices: nullable(PricesSchema) })

export type PredictionAnswer = Static<typeof PredictionSchema>
export type ActualAnswer = Static<typeof ActualSchema>
