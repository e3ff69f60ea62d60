import { randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { Pool } from 'undici'
import type { Catalog } from './catalog.ts'
import { changes } from './changes.ts'
import type { Check } from './check-types.ts'
import { CatalogError, isCatalogErrorCode } from './errors.ts'
import { ANSWER_MAX, CATALOG_METHODS, type CatalogMethod, ROUTES, type Route } from './protocol.ts'
import { splitRanges } from './split-ranges.ts'
import type { NewRange, Run } from './types.ts'

export interface CatalogClientOptions {
  /** `http://host:port` of the catalog service. */
  readonly url: string
  /** The token that all services share. */
  readonly token: string
  /** One try, until the whole answer is here. Default 30 s. */
  readonly timeoutMs?: number
  /**
   * How long to try again while the catalog is away (restarting, failing over) before CATALOG_UNREACHABLE. Default 20 s.
   * Every call may be repeated, so all of them are.
   */
  readonly patienceMs?: number
  /** Connections at most. Default 16. */
  readonly connections?: number
}

/** The catalog over HTTP. See `Catalog` for what its methods promise. */
export function createCatalogClient(options: CatalogClientOptions): Catalog {
  const pool = new Pool(new URL(options.url).origin, { connections: options.connections ?? 16, connect: { timeout: 5000 } })
  const caller = new Caller(pool, options)
  const methods = Object.fromEntries(CATALOG_METHODS.map(method => [method, (...args: unknown[]) => caller.call(method, args)]))
  return {
    ...(methods as unknown as Omit<
      Catalog,
      'close' | 'changes' | 'addRanges' | 'createBackup' | 'createRestore' | 'createBackupPreview' | 'createRestorePreview' | 'createCheck'
    >),
    async addRanges(id: string, ranges: readonly NewRange[], snapshotId?: string | null): Promise<void> {
      for (const part of splitRanges(ranges)) await caller.call('addRanges', [id, part, snapshotId])
    },
    // Without a key a lost answer could not be told from a VM that is busy; so each call has one.
    createBackup: (vmId, backup, key = randomUUID()) => caller.call('createBackup', [vmId, backup, key]) as Promise<Run>,
    createRestore: (pointId, restore, key = randomUUID()) => caller.call('createRestore', [pointId, restore, key]) as Promise<Run>,
    createBackupPreview: (vmId, backup, key = randomUUID()) => caller.call('createBackupPreview', [vmId, backup, key]) as Promise<Run>,
    createRestorePreview: (pointId, restore, key = randomUUID()) =>
      caller.call('createRestorePreview', [pointId, restore, key]) as Promise<Run>,
    createCheck: (request, id = randomUUID()) => caller.call('createCheck', [request, id]) as Promise<Check>,
    changes: signal => changes(options, signal),
    close: () => pool.close(),
  }
}

class Caller {
  readonly #pool: Pool
  readonly #options: CatalogClientOptions

  constructor(pool: Pool, options: CatalogClientOptions) {
    this.#pool = pool
    this.#options = options
  }

  async call(method: CatalogMethod, args: readonly unknown[]): Promise<unknown> {
    const request = encode(ROUTES[method], args)
    const deadline = Date.now() + (this.#options.patienceMs ?? 20_000)
    for (let wait = 50; ; wait = Math.min(wait * 2, 2000)) {
      try {
        return await this.#once(method, request)
      } catch (error) {
        if (!(error instanceof CatalogError) || error.code !== 'CATALOG_UNREACHABLE' || Date.now() + wait > deadline) throw error
        await setTimeout(wait * (0.5 + Math.random()))
      }
    }
  }

  async #once(method: CatalogMethod, request: EncodedRequest): Promise<unknown> {
    let status: number
    let body: Buffer
    try {
      const response = await this.#pool.request({
        method: request.http,
        path: request.path,
        headers: {
          authorization: `Bearer ${this.#options.token}`,
          ...(request.body === null ? {} : { 'content-type': 'application/json' }),
        },
        body: request.body,
        signal: AbortSignal.timeout(this.#options.timeoutMs ?? 30_000),
      })
      status = response.statusCode
      body = await readBounded(response.body)
    } catch (cause) {
      if (cause instanceof CatalogError) throw cause
      throw new CatalogError(
        'CATALOG_UNREACHABLE',
        `the catalog at ${this.#options.url} cannot be reached: ${(cause as Error).message}`,
        { method },
        { cause },
      )
    }
    if (status === 204) return undefined
    if (status === 200 && ROUTES[method].answer === 'bytes') return new Uint8Array(body.buffer, body.byteOffset, body.byteLength)
    const value = parse(body, method)
    if (status === 200) return value
    throw errorOf(status, value, method)
  }
}

interface EncodedRequest {
  readonly http: Route['http']
  readonly path: string
  readonly body: string | null
}

/** Arguments by the route's rule: path names first, then the named ones. The object arguments of a GET are spread. */
function encode(route: Route, args: readonly unknown[]): EncodedRequest {
  let taken = 0
  const path = route.path.replace(/:[a-z]+/gi, () => encodeURIComponent(String(args[taken++])))
  const rest = args.slice(taken)
  if (route.http !== 'POST') {
    const values: Record<string, unknown> = {}
    rest.forEach((value, i) => {
      if (typeof value === 'object' && value !== null) Object.assign(values, value)
      else values[route.args[i] ?? ''] = value
    })
    const query = new URLSearchParams()
    for (const name of route.args) if (values[name] !== undefined) query.set(name, String(values[name]))
    return { http: route.http, path: query.size > 0 ? `${path}?${query}` : path, body: null }
  }
  return { http: route.http, path, body: JSON.stringify(Object.fromEntries(route.args.map((name, i) => [name, rest[i]]))) }
}

async function readBounded(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body) {
    length += chunk.length
    if (length > ANSWER_MAX) throw new CatalogError('CATALOG_FAULT', `the catalog's answer is longer than ${ANSWER_MAX} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, length)
}

function parse(body: Buffer, method: CatalogMethod): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch (cause) {
    throw new CatalogError('CATALOG_FAULT', 'the catalog answered something that is not JSON', { method }, { cause })
  }
}

function errorOf(status: number, value: unknown, method: CatalogMethod): CatalogError {
  const { code, message, context } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  const facts = typeof context === 'object' && context !== null ? { ...context } : {}
  const known = isCatalogErrorCode(code) ? code : status === 503 ? 'CATALOG_UNREACHABLE' : 'CATALOG_FAULT'
  return new CatalogError(known, typeof message === 'string' ? message : `the catalog answered ${status}`, { ...facts, method })
}
