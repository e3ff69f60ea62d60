import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { ApiError } from './errors.ts'

/**
 * Check the bearer token of a request, in constant time.
 *
 * The header is the only door. No cookie, so that no other page can make a browser send the token along (there is nothing to forge);
 * no `?token=`, so that it never lies in an access log or a history. The dashboard reads its event streams with `fetch`, which can
 * send the header, instead of with `EventSource`, which can't.
 *
 * @throws ApiError UNAUTHORIZED
 */
export function tokenCheck(token: string): (request: FastifyRequest) => Promise<void> {
  const expected = digest(token)
  return async request => {
    const given = /^Bearer +(\S{1,512})$/i.exec(request.headers.authorization ?? '')?.[1]
    if (given === undefined) throw new ApiError('UNAUTHORIZED', 'a token is needed')
    // Digests have one length, so the comparison tells nothing about the token's.
    if (!timingSafeEqual(digest(given), expected)) throw new ApiError('UNAUTHORIZED', 'the token is not the one of this Varve')
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
