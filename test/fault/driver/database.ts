import { readFileSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { type EmbeddedPostgres, startPostgres } from '@varve/postgres'
import pg from 'pg'

/** The catalog's PostgreSQL, which faults kill, start again and move. */
export class DatabaseServer {
  #folder: string
  #server: EmbeddedPostgres | undefined

  constructor(folder: string) {
    this.#folder = folder
    // It is in a session of its own, and would outlive us.
    process.once('exit', () => {
      if (this.#server !== undefined && isAlive(this.#server.pid)) process.kill(this.#server.pid, 'SIGQUIT')
    })
  }

  get url(): string {
    if (this.#server === undefined) throw new Error('PostgreSQL is not running')
    return this.#server.url
  }

  /** Of its unix socket. */
  get socket(): string {
    return `${new URL(this.url).searchParams.get('host')}/.s.PGSQL.5432`
  }

  async start(): Promise<void> {
    this.#server ??= await startPostgres({ dataDir: this.#folder })
  }

  async stop(): Promise<void> {
    await this.#server?.close()
    this.#server = undefined
  }

  /** kill -9 of the server; its children notice by themselves. */
  async kill(): Promise<void> {
    if (this.#server === undefined) return
    const { pid } = this.#server
    process.kill(pid, 'SIGKILL')
    while (isAlive(pid)) await new Promise(resolve => setTimeout(resolve, 20))
    await this.stop()
  }

  /** Go on with the same data at another socket. */
  async moveTo(folder: string): Promise<void> {
    await this.stop()
    await rename(this.#folder, folder)
    this.#folder = folder
    await this.start()
  }

  /** A connection of its own, past every relay. The caller ends it. */
  async connect(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.url })
    client.on('error', () => {})
    await client.connect()
    return client
  }

  async query<Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> {
    const client = await this.connect()
    try {
      return (await client.query<Row>(text, values)).rows
    } finally {
      await client.end()
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch {
    return false
  }
}
