import { ApiError, send } from './api.ts'

/** Silence longer than three signs of life (15 s each) means that nobody is there. */
const SILENCE_MS = 50_000
const RETRY_MS = 2000

export interface StreamHandlers {
  event(name: string, data: unknown): void
  /** Connected, or cut off and trying again. */
  connected(yes: boolean): void
  /** The token is refused: no use in trying again. */
  refused(): void
}

/** Follow an event stream with the token in the header, again and again until stopped. Each connection begins with the present state. */
export function followEvents(path: string, handlers: StreamHandlers): () => void {
  const stop = new AbortController()
  void follow(path, handlers, stop.signal)
  return () => stop.abort()
}

async function follow(path: string, handlers: StreamHandlers, stopped: AbortSignal): Promise<void> {
  while (!stopped.aborted) {
    try {
      await readOnce(path, handlers, stopped)
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return handlers.refused()
    }
    if (stopped.aborted) return
    handlers.connected(false)
    await new Promise(resolve => setTimeout(resolve, RETRY_MS))
  }
}

async function readOnce(path: string, handlers: StreamHandlers, stopped: AbortSignal): Promise<void> {
  const cut = new AbortController()
  const abort = (): void => cut.abort()
  stopped.addEventListener('abort', abort)
  let silence = setTimeout(abort, SILENCE_MS)
  try {
    const { body } = await send('GET', path, undefined, cut.signal)
    if (body === null) return
    handlers.connected(true)
    const reader = body.pipeThrough(new TextDecoderStream()).getReader()
    let rest = ''
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      clearTimeout(silence)
      silence = setTimeout(abort, SILENCE_MS)
      const blocks = (rest + value).split('\n\n')
      rest = blocks.pop() ?? ''
      for (const block of blocks) handOver(block, handlers)
    }
  } finally {
    clearTimeout(silence)
    stopped.removeEventListener('abort', abort)
    cut.abort()
  }
}

function handOver(block: string, handlers: StreamHandlers): void {
  const name = /^event: ?(.*)$/m.exec(block)?.[1]
  const data = /^data: ?(.*)$/m.exec(block)?.[1]
  if (name !== undefined && data !== undefined) handlers.event(name, JSON.parse(data))
}
