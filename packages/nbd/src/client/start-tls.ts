import { X509Certificate } from 'node:crypto'
import { isIP, type Socket } from 'node:net'
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import { NbdError } from '../errors.ts'
import type { NbdAddress, NbdClientTls } from './nbd-client.ts'

/** Whom a client believes: certificates of one authority, for one host. */
export interface Trust {
  readonly context: SecureContext
  readonly host: string
}

/** Throws NBD_INPUT_INVALID when `ca` is no certificate. */
export function trustOf(address: NbdAddress, { ca, servername }: NbdClientTls): Trust {
  const host = servername ?? (address.path === undefined ? (address.host ?? 'localhost') : 'localhost')
  try {
    // `ca` takes the place of the authorities that Node knows.
    return { context: createSecureContext({ ca: new X509Certificate(ca).toString(), minVersion: 'TLSv1.2' }), host }
  } catch (cause) {
    throw new NbdError('NBD_INPUT_INVALID', 'the certificate authority is not a certificate', {}, { cause })
  }
}

/** Put TLS on a socket on which both sides agreed to it. 'secureConnect' comes when the certificate is right, 'error' otherwise. */
export function startTls(socket: Socket, { context, host }: Trust): TLSSocket {
  return connect({
    socket,
    secureContext: context,
    rejectUnauthorized: true,
    host,
    // An address is compared with the certificate, but may not be sent as a name.
    ...(isIP(host) === 0 ? { servername: host } : {}),
  })
}

/** What the failure of a TLS connection means for its NBD client. */
export function tlsFailure(secure: TLSSocket, error: NodeJS.ErrnoException, context: Record<string, unknown>): NbdError {
  const options = { cause: error }
  if (error.code?.startsWith('ERR_SSL_') === true) return new NbdError('NBD_PROTOCOL', `TLS failed: ${error.message}`, context, options)
  // Null, and against its type not undefined, while nothing is wrong with the certificate.
  if (secure.authorizationError) {
    return new NbdError('NBD_TLS_UNTRUSTED', `the certificate is not trusted: ${error.message}`, context, options)
  }
  return new NbdError('NBD_CLOSED', error.message, context, options)
}
