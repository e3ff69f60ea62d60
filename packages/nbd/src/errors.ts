import { type ErrorTable, VarveError } from '@varve/errors'
import { NBD_ERRNO } from './constants.ts'
import type { NbdErrorName } from './server/backend.ts'

export const NBD_ERRORS = {
  NBD_UNREACHABLE: {
    retryable: true,
    status: 502,
    help: 'No connection to the NBD server, or no finished handshake, within the time limit. Check address, port and firewall.',
  },
  NBD_CLOSED: { retryable: true, status: 502, help: 'The connection ended while it was in use. Open the export again.' },
  NBD_STALLED: {
    retryable: true,
    status: 504,
    help: 'The server sent nothing for too long while a request was open. Open the export again.',
  },
  NBD_EXPORT_UNKNOWN: { retryable: false, status: 404, help: 'The server has no export of this name. A lease may have ended.' },
  NBD_REFUSED: {
    retryable: false,
    status: 502,
    help: 'The server refused the handshake: policy, TLS required or not offered, or shutting down.',
  },
  NBD_TLS_UNTRUSTED: {
    retryable: false,
    status: 502,
    help: 'The certificate of the NBD server was not issued by the expected authority, is not valid now, or is for another host.',
  },
  NBD_PROTOCOL: { retryable: false, status: 502, help: 'The peer broke the NBD protocol; the connection was dropped.' },
  NBD_REQUEST_FAILED: {
    retryable: false,
    status: 502,
    help: 'The server answered this request with an error; context.errno is its NBD name.',
  },
  NBD_INPUT_INVALID: { retryable: false, status: 400, help: 'The requested range lies outside of the export or breaks its block size.' },
  NBD_ABORTED: { retryable: false, status: 499, help: 'The caller aborted the work on this export.' },
} as const satisfies ErrorTable

export type NbdErrorCode = keyof typeof NBD_ERRORS

/** Everything this package throws on purpose. */
export class NbdError extends VarveError<NbdErrorCode> {
  override readonly name = 'NbdError'
  protected override readonly table = NBD_ERRORS
}

const NAME_BY_ERRNO = new Map<number, NbdErrorName>(Object.entries(NBD_ERRNO).map(([name, value]) => [value, name as NbdErrorName]))

/** The NBD name of an error value from the wire; the specification says to treat unknown ones as EINVAL. */
export function errnoName(value: number): NbdErrorName {
  return NAME_BY_ERRNO.get(value) ?? 'EINVAL'
}

/** The error by which a backend answers a request: `throw requestFailed('ENOSPC', 'the overlay is full')`. */
export function requestFailed(errno: NbdErrorName, message: string, context: Record<string, unknown> = {}): NbdError {
  return new NbdError('NBD_REQUEST_FAILED', message, { ...context, errno })
}

/** What a peer did against the protocol. */
export function protocolError(message: string, context: Record<string, unknown> = {}): NbdError {
  return new NbdError('NBD_PROTOCOL', message, context)
}
