import { type Logger, sleep } from '@varve/runtime'
import pg from 'pg'

/**
 * One connection that LISTENs, made again whenever it is lost. What happens in between is lost too: listeners hear of every (re)connection and have
 * to look for themselves then.
 */
export interface Listener {
  close(): Promise<void>
}

export function startListener(
  url: string,
  handlers: {
    readonly onOutbox: () => void
    readonly onDispatch: (cause: string) => void
    readonly onChange: (runId: string) => void
    readonly onConnected: () => void
  },
  log: Logger,
): Listener {
  const stop = new AbortController()
  let current: pg.Client | undefined
  const once = async (): Promise<void> => {
    const client = new pg.Client({
      connectionString: url,
      application_name: 'varve-catalog-listen',
      connectionTimeoutMillis: 10_000,
      keepAlive: true,
    })
    const lost = new Promise<void>(resolve => {
      client.on('error', () => resolve())
      client.on('end', () => resolve())
    })
    client.on('notification', ({ channel, payload }) => {
      if (channel === 'varve_outbox') handlers.onOutbox()
      else if (channel === 'varve_dispatch') handlers.onDispatch(payload ?? '')
      else if (payload !== undefined) handlers.onChange(payload)
    })
    try {
      await client.connect()
      current = client
      if (stop.signal.aborted) return
      await client.query('listen varve_outbox; listen varve_dispatch; listen varve_changes')
      handlers.onConnected()
      await lost
    } finally {
      current = undefined
      await client.end().catch(() => {})
    }
  }
  const loop = async (): Promise<void> => {
    for (let wait = 100; !stop.signal.aborted; wait = Math.min(wait * 2, 5000)) {
      const began = Date.now()
      await once().catch(error => log.debug({ err: error }, 'listening to the database failed'))
      if (Date.now() - began > 10_000) wait = 100
      if (!stop.signal.aborted) await sleep(wait, stop.signal).catch(() => {})
    }
  }
  const done = loop()
  return {
    async close() {
      stop.abort()
      await current?.end().catch(() => {})
      await done
    },
  }
}
