import { type Static, Type } from '@varve/runtime'
import { IDS_PER_CALL } from './check-methods.ts'
import { CHECK_STATES, type CheckEnd, type CheckFilter, type CheckProgress, type CheckRequest, FINDINGS_MAX } from './check-types.ts'
import { FINDING_CODES, type FindingCode } from './finding-codes.ts'

/** JSON Schemas of what the maintenance service and the api send about checks. */

type Schema = Parameters<typeof Type.Array>[0]
const matching =
  <T>() =>
  <S extends Schema>(schema: Static<S> extends T ? S : never): S =>
    schema

export const uuid = () => Type.String({ pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' })
const count = () => Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const nullable = <S extends Schema>(schema: S) => Type.Union([schema, Type.Null()])
const name = () => Type.String({ maxLength: 1024 })
const text = () => Type.String({ maxLength: 2000 })
const scope = () => Type.Union([Type.Literal('leaks'), Type.Literal('all')])

export const cursor = () => nullable(Type.String({ maxLength: 200 }))
export const idList = () => Type.Array(uuid(), { maxItems: IDS_PER_CALL })
export const keyList = () => Type.Array(Type.String({ minLength: 1, maxLength: 512 }), { maxItems: IDS_PER_CALL })
export const objectList = () =>
  Type.Array(Type.Object({ key: Type.String({ minLength: 1, maxLength: 512 }), runId: uuid() }), { maxItems: IDS_PER_CALL })
export const attemptIdList = () => Type.Array(Type.String({ pattern: '^[0-9a-f]{24}$' }), { maxItems: IDS_PER_CALL })

export const checkRequest = matching<CheckRequest>()(Type.Object({ scope: scope(), sweep: Type.Boolean() }))

export const checkFilter = matching<CheckFilter>()(
  Type.Object({
    scope: Type.Optional(scope()),
    state: Type.Optional(Type.Enum([...CHECK_STATES])),
    periodic: Type.Optional(Type.Boolean()),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200 })),
  }),
)

const seen = Type.Object({
  vms: count(),
  snapshots: count(),
  leases: count(),
  objects: count(),
  points: count(),
  images: count(),
  pages: count(),
})

export const checkProgress = matching<CheckProgress>()(Type.Object({ step: Type.String({ maxLength: 100 }), seen }))

const finding = Type.Object({
  code: Type.Unsafe<FindingCode>(Type.String({ enum: Object.keys(FINDING_CODES) })),
  invariant: nullable(Type.Integer({ minimum: 1, maximum: 9 })),
  kind: Type.Union([Type.Literal('leak'), Type.Literal('broken'), Type.Literal('note')]),
  subject: name(),
  runId: nullable(uuid()),
  platformId: nullable(uuid()),
  message: text(),
  swept: Type.Boolean(),
})

const summary = Type.Object({
  findings: count(),
  leaks: count(),
  broken: count(),
  notes: count(),
  swept: count(),
  byCode: Type.Record(Type.String({ maxLength: 100 }), count()),
  seen,
})

export const checkEnd = matching<CheckEnd>()(
  Type.Union([
    Type.Object({ findings: Type.Array(finding, { maxItems: FINDINGS_MAX }), summary }),
    Type.Object({ error: Type.Object({ code: Type.String({ minLength: 1, maxLength: 100 }), message: text() }) }),
  ]),
)
