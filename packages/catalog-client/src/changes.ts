import { setTimeout } from 'node:timers/promises'
import { Client } from 'undici'
import { CatalogError } from './errors.ts'
import { CHANGES_HEARTBEAT_S, CHANGES_PATH } from './protocol.ts'

const LINE_MAX = 4096

/**
 * Follow the change feed on a connection of its own, again and again until the signal aborts. Silence longer than three heartbeats counts as a
 * dead connection. Only a refused token ends it with an error.
 */
export async function* changes(
  options: { readonly url: string; readonly token: string },
  signal?: AbortSignal,
): AsyncGenerator<{ runId: string }> {
  let wait = 100
  while (signal?.aborted !== true) {
    const client = new Client(new URL(options.url).origin, { bodyTimeout: CHANGES_HEARTBEAT_S * 3000, headersTimeout: 10_000 })
    try {
      const response = await client.request({
        method: 'GET',
        path: CHANGES_PATH,
        headers: { authorization: `Bearer ${options.token}` },
        ...(signal === undefined ? {} : { signal }),
      })
      if (response.statusCode === 401) throw new CatalogError('UNAUTHORIZED', 'the catalog refused the token')
      if (response.statusCode !== 200) throw new Error(`the change feed answered ${response.statusCode}`)
      for await (const line of lines(response.body)) {
        wait = 100
        const runId = runIdOf(line)
        if (runId !== null) yield { runId }
      }
    } catch (error) {
      if (error instanceof CatalogError && error.code === 'UNAUTHORIZED') throw error
    } finally {
      void client.destroy().catch(() => {})
    }
    await setTimeout(wait, undefined, signal === undefined ? {} : { signal }).catch(() => {})
    wait = Math.min(wait * 2, 5000)
  }
}

async function* lines(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true })
    const parts = rest.split('\n')
    rest = parts.pop() ?? ''
    if (rest.length > LINE_MAX) throw new Error('a line of the change feed is too long')
    yield* parts
  }
}

function runIdOf(line: string): string | null {
  if (line === '') return null
  try {
    const { runId } = JSON.parse(line) as { runId?: unknown }
    return typeof runId === 'string' ? runId : null
  } catch {
    return null
  }
}
