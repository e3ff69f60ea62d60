import { CliError } from './errors.ts'

export interface ServerEvent {
  readonly event: string
  readonly data: string
}

/** One event of ours is some kilobytes; a megabyte without an end is not an event stream. */
const EVENT_MAX = 1024 * 1024

/** The events of a `text/event-stream` body (HTML standard, section 9.2); comments and ids are passed over. */
export async function* serverEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true })
    const blocks = rest.split('\n\n')
    rest = blocks.pop() ?? ''
    if (rest.length > EVENT_MAX) throw new CliError('API_ANSWER_INVALID', 'an event is too long')
    for (const block of blocks) {
      const event = decodeEvent(block)
      if (event !== undefined) yield event
    }
  }
}

function decodeEvent(block: string): ServerEvent | undefined {
  let event = 'message'
  const data: string[] = []
  for (const line of block.split('\n')) {
    if (line.startsWith('event:')) event = line.slice(6).trim()
    else if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5))
  }
  return data.length === 0 ? undefined : { event, data: data.join('\n') }
}
