import type { Logger } from '@varve/runtime'
import type { ExportAsk, ExportFacts, ExportList, Refusal } from '../codec/server-handshake.ts'
import {
  NBD_FLAG_CAN_MULTI_CONN,
  NBD_FLAG_HAS_FLAGS,
  NBD_FLAG_READ_ONLY,
  NBD_FLAG_SEND_CACHE,
  NBD_FLAG_SEND_FAST_ZERO,
  NBD_FLAG_SEND_FLUSH,
  NBD_FLAG_SEND_FUA,
  NBD_FLAG_SEND_TRIM,
  NBD_FLAG_SEND_WRITE_ZEROES,
  NBD_REP_ERR_POLICY,
  NBD_REP_ERR_UNKNOWN,
} from '../constants.ts'
import { NbdError } from '../errors.ts'
import type { NbdBackend } from './backend.ts'
import type { ExportResolver, NbdPeer } from './export-resolver.ts'
import type { ExportTable } from './export-table.ts'

export interface HeldExportDeps {
  readonly exports: ExportTable
  readonly resolver: ExportResolver
  readonly log: Logger | undefined
}

/**
 * The export of one connection, and the answers to what its handshake asks. The options of one handshake mostly name the
 * same export (context, info, go): it is opened once and held until another is named or the connection ends.
 */
export class HeldExport {
  readonly #deps: HeldExportDeps
  readonly #peer: NbdPeer
  #held: { readonly name: string; readonly backend: NbdBackend } | undefined
  #opening: string | undefined

  constructor(deps: HeldExportDeps, peer: NbdPeer) {
    this.#deps = deps
    this.#peer = peer
  }

  /** Its name, from the moment that it is being opened. */
  get name(): string | undefined {
    return this.#opening ?? this.#held?.name
  }

  get backend(): NbdBackend | undefined {
    return this.#held?.backend
  }

  /** Never rejects: failures are refusals for the client. */
  async answer(ask: ExportAsk): Promise<ExportFacts | ExportList | Refusal> {
    try {
      if (ask.kind === 'list') return { names: (await this.#deps.resolver.list?.(this.#peer)) ?? [] }
      const { size, readOnly, blockSize } = await this.#open(ask.name)
      return { size, flags: transmissionFlags(readOnly), blockSize }
    } catch (error) {
      return this.#refusal(error)
    }
  }

  async release(): Promise<void> {
    const held = this.#held
    this.#held = undefined
    if (held !== undefined) await this.#deps.exports.release(held.name)
  }

  async #open(name: string): Promise<NbdBackend> {
    if (this.#held?.name === name) return this.#held.backend
    await this.release()
    this.#opening = name
    try {
      const backend = await this.#deps.exports.acquire(name, this.#peer)
      this.#held = { name, backend }
      return backend
    } finally {
      this.#opening = undefined
    }
  }

  #refusal(error: unknown): Refusal {
    const peer = this.#peer.address
    if (error instanceof NbdError && error.code === 'NBD_EXPORT_UNKNOWN') {
      this.#deps.log?.info({ peer }, 'nbd client asked for an unknown export')
      return { refused: NBD_REP_ERR_UNKNOWN, message: error.message }
    }
    this.#deps.log?.warn({ peer, err: error }, 'nbd export refused')
    return { refused: NBD_REP_ERR_POLICY, message: error instanceof NbdError ? error.message : 'the export cannot be opened' }
  }
}

function transmissionFlags(readOnly: boolean): number {
  const common = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_CAN_MULTI_CONN | NBD_FLAG_SEND_CACHE
  if (readOnly) return common | NBD_FLAG_READ_ONLY
  return common | NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_FAST_ZERO
}
