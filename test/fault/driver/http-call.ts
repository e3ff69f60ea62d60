import { request } from 'node:http'

/** Every call over a connection of its own: one that is kept may have been closed by a server that was killed, and a POST is not repeated. */
export function httpCall(
  method: string,
  url: string,
  {
    headers = {},
    body,
    timeoutMs = 60_000,
  }: { readonly headers?: Record<string, string>; readonly body?: unknown; readonly timeoutMs?: number },
): Promise<{ readonly status: number; readonly text: string }> {
  const payload = body === undefined ? undefined : JSON.stringify(body)
  const type = payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(payload)) }
  return new Promise((resolve, reject) => {
    const call = request(
      url,
      { method, agent: false, headers: { ...headers, ...type }, signal: AbortSignal.timeout(timeoutMs) },
      answer => {
        let text = ''
        answer.setEncoding('utf8')
        answer.on('data', (chunk: string) => {
          text += chunk
        })
        answer.on('error', reject)
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }))
      },
    )
    call.on('error', error => reject(new Error(`${method} ${url}: ${error.message}`, { cause: error })))
    call.end(payload)
  })
}
