import { CHECK_STATES, type CheckScope, type CheckState } from '@varve/catalog-client'
import { type Static, Type } from '@varve/runtime'
import { Id, nullable, refTo, Time } from './common.ts'

const Scope = Type.Unsafe<CheckScope>(
  Type.String({
    enum: ['leaks', 'all'],
    description:
      '`leaks`: what exists on the platforms and in the repository and is owned by no run. `all`: that and every other invariant.',
  }),
)

export const CheckBody = Type.Object(
  {
    scope: Scope,
    sweep: Type.Optional(Type.Boolean({ description: 'Take away what is owned by nobody.', default: false })),
  },
  { additionalProperties: false, examples: [{ scope: 'all' }, { scope: 'leaks', sweep: true }] },
)

export const ChecksQuery = Type.Object(
  { scope: Type.Optional(Scope), limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 20 })) },
  { additionalProperties: false },
)

const Seen = Type.Object(
  {
    vms: Type.Integer(),
    snapshots: Type.Integer(),
    leases: Type.Integer(),
    objects: Type.Integer(),
    points: Type.Integer(),
    images: Type.Integer(),
    pages: Type.Integer(),
  },
  { description: 'How much was looked at' },
)

export const FindingSchema = Type.Object(
  {
    code: Type.String({ description: 'Stable code, for programs; docs/checks.md has them all.', examples: ['snapshot-of-ended-run'] }),
    kind: Type.Unsafe<'leak' | 'broken' | 'note'>(
      Type.String({
        enum: ['leak', 'broken', 'note'],
        description: 'Owned by nobody; an invariant that does not hold; or only to be known.',
      }),
    ),
    invariant: nullable(Type.Integer({ description: 'Number of the invariant in DESIGN.md' })),
    subject: Type.String({ description: "What it is about: an object's key, or the id of a snapshot, lease, VM, run or point." }),
    runId: nullable(Id),
    platformId: nullable(Id),
    message: Type.String(),
    help: Type.String({ description: 'What it means, and what to do.' }),
    swept: Type.Boolean({ description: 'It was taken away by this check.' }),
  },
  { $id: 'Finding', title: 'Finding' },
)
export type FindingAnswer = Static<typeof FindingSchema>

const fields = {
  id: Id,
  scope: Scope,
  sweep: Type.Boolean(),
  periodic: Type.Boolean({
    description: 'Made at intervals by the maintenance service; with scope leaks it looks at what changed lately, not at everything.',
  }),
  state: Type.Unsafe<CheckState>(Type.String({ enum: [...CHECK_STATES] })),
  createdAt: Time,
  endedAt: nullable(Time),
  progress: nullable(Type.Object({ step: Type.String({ examples: ['points'] }), seen: Seen })),
  summary: nullable(
    Type.Object({
      findings: Type.Integer({ description: 'All findings; at most 10,000 are kept.' }),
      leaks: Type.Integer(),
      broken: Type.Integer(),
      notes: Type.Integer(),
      swept: Type.Integer({ description: 'Leaks that were taken away' }),
      byCode: Type.Record(Type.String(), Type.Integer()),
      seen: Seen,
    }),
  ),
  reason: nullable(Type.String({ description: 'Error code when it failed' })),
  message: nullable(Type.String()),
}

export const CheckSchema = Type.Object(
  { ...fields, findings: nullable(Type.Array(refTo(FindingSchema))) },
  { $id: 'Check', title: 'Check', description: 'A look at whether the invariants hold. `findings` is null until it is done.' },
)
export type CheckAnswer = Static<typeof CheckSchema>

export const CheckRowSchema = Type.Object(fields, { $id: 'CheckRow', title: 'CheckRow', description: 'A check without its findings.' })
export type CheckRowAnswer = Static<typeof CheckRowSchema>

export const LeaksSchema = Type.Object(
  {
    checkId: nullable(Id),
    checkedAt: nullable(Time),
    underWay: Type.Boolean({ description: 'A check is queued or running: ask again when it is done.' }),
    items: Type.Array(refTo(FindingSchema), { description: 'What is there now, by the newest looks.' }),
    swept: Type.Array(refTo(FindingSchema), { description: 'What those looks took away.' }),
  },
  {
    $id: 'Leaks',
    title: 'Leaks',
    description: 'What is owned by no run. Null: nobody has looked yet.',
  },
)
export type LeaksAnswer = Static<typeof LeaksSchema>
