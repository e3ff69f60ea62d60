import { CHANGES_HEARTBEAT_S } from '@varve/catalog-client/protocol'
import type { FastifyReply } from 'fastify'
import type { Database } from './database.ts'

/** Minutes back that a new reader is told of: longer than any reconnection. */
const RECENT_MIN = 5

/** Whoever follows runs as they change: NDJSON streams of `{"runId": …}`. */
export class ChangeFeed {
  readonly #streams = new Set<Stream>()
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  changed(runId: string): void {
    for (const stream of this.#streams) stream.add(runId)
  }

  /** Notifications may have been missed: every reader looks at everything that is under way or changed lately. */
  async catchUp(): Promise<void> {
    if (this.#streams.size === 0) return
    for (const id of await this.#recent()) this.changed(id)
  }

  async follow(reply: FastifyReply): Promise<void> {
    const recent = await this.#recent()
    reply.hijack()
    const stream = new Stream(reply.raw)
    this.#streams.add(stream)
    reply.raw.on('close', () => {
      stream.close()
      this.#streams.delete(stream)
    })
    for (const id of recent) stream.add(id)
  }

  async #recent(): Promise<string[]> {
    const { rows } = await this.#db.query<{ id: string }>(
      `select id from (
         select id, created_at from varve.runs where ended_at is null
         union all
         -- Compacted is only what ended long ago; with this said, the index of what is not has them.
         select id, created_at from varve.runs where ended_at > now() - make_interval(mins => $1) and compacted_at is null) r
        order by created_at desc limit 1000`,
      [RECENT_MIN],
    )
    return rows.map(r => r.id)
  }

  close(): void {
    for (const stream of this.#streams) stream.close()
    this.#streams.clear()
  }
}

/** One reader. While it is slow, run ids gather in a set: as many as there are runs, not as there are changes. */
class Stream {
  readonly #response: FastifyReply['raw']
  readonly #waiting = new Set<string>()
  readonly #heartbeat: NodeJS.Timeout
  #blocked = false

  constructor(response: FastifyReply['raw']) {
    this.#response = response
    response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' })
    response.write('\n')
    response.on('drain', () => {
      this.#blocked = false
      this.#flush()
    })
    this.#heartbeat = setInterval(() => {
      if (!this.#blocked) response.write('\n')
    }, CHANGES_HEARTBEAT_S * 1000)
  }

  add(runId: string): void {
    this.#waiting.add(runId)
    this.#flush()
  }

  #flush(): void {
    if (this.#blocked || this.#waiting.size === 0) return
    const text = [...this.#waiting].map(runId => `${JSON.stringify({ runId })}\n`).join('')
    this.#waiting.clear()
    this.#blocked = !this.#response.write(text)
  }

  close(): void {
    clearInterval(this.#heartbeat)
    this.#response.end()
  }
}
