import { HciError } from '../errors.ts'
import type { App } from './app.ts'
import { Idempotency } from './idempotency.ts'

/** `X-Client-Token` on POST and PUT (see Idempotency). A token counts per user, method and path. */
export function addClientTokens(app: App): void {
  const idempotency = new Idempotency()
  const first = new WeakMap<object, string>()

  app.addHook('preHandler', async (request, reply) => {
    if (request.method !== 'POST' && request.method !== 'PUT') return undefined
    const token = request.headers['x-client-token']
    if (token === undefined) return undefined
    if (typeof token !== 'string' || token === '' || token.length > 128)
      throw new HciError('REQUEST_INVALID', 'X-Client-Token must hold 1 to 128 characters')
    const key = JSON.stringify([request.user, token, request.method, request.url])
    const answer = await idempotency.begin(key, request.rawBody, Date.now())
    if (answer === 'mismatch') throw new HciError('REQUEST_INVALID', 'X-Client-Token was used with another body')
    if (answer !== undefined) return reply.status(answer.status).header('content-type', 'application/json; charset=utf-8').send(answer.body)
    first.set(request, key)
    return undefined
  })

  app.addHook('onSend', async (request, reply, payload) => {
    const key = first.get(request)
    if (key !== undefined) {
      idempotency.settle(
        key,
        reply.statusCode < 300 && typeof payload === 'string' ? { status: reply.statusCode, body: payload } : undefined,
      )
    }
    return payload
  })
}
