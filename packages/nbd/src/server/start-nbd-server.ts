import { createServer, type Server } from 'node:net'
import type { Logger } from '@varve/runtime'
import { NbdError } from '../errors.ts'
import { BufferPool } from './buffer-pool.ts'
import { ServerConnection } from './connection.ts'
import type { ExportResolver } from './export-resolver.ts'
import { ExportTable } from './export-table.ts'
import { MemoryBudget } from './memory-budget.ts'

export interface NbdServerOptions {
  /** Port 0 takes a free one; see `NbdServer.address`. */
  readonly listen: { readonly host?: string; readonly port: number } | { readonly path: string }
  readonly exports: ExportResolver
  readonly log?: Logger
  /** Connections together (default 256); further ones are closed at once. */
  readonly maxConnections?: number
  /** Connections to one export (default 32); further ones hear NBD_REP_ERR_POLICY. */
  readonly maxConnectionsPerExport?: number
  /** Time limit of the handshake (default 10 000 ms). */
  readonly handshakeMs?: number
  /** Requests in flight over one connection (default 16); more wait in the socket. */
  readonly inFlight?: number
  /** Payload in flight over one connection (default 64 MiB). */
  readonly inFlightBytes?: number
  /** Payload that all connections hold together (default 256 MiB); above it they take turns. */
  readonly memoryBytes?: number
  /** A client that stops in the middle of a request, or does not take its replies, is dropped after this (default 120 000 ms). */
  readonly stallMs?: number
}

export interface NbdServer {
  /** Where it listens: host and port, or path. */
  readonly address: { readonly host: string; readonly port: number } | { readonly path: string }
  readonly connections: number
  /** Close every connection of one export now; resolves when their requests are done and the backend is closed. */
  closeExport(name: string): Promise<void>
  /** Stop listening, answer the requests in flight (at most `graceMs`, default 5 000), close everything. */
  close(graceMs?: number): Promise<void>
}

/** Start an NBD server. Throws the system's error when it cannot listen (EADDRINUSE, EACCES). */
export async function startNbdServer(options: NbdServerOptions): Promise<NbdServer> {
  const { log } = options
  const maxConnections = options.maxConnections ?? 256
  const connections = new Set<ServerConnection>()
  const deps = {
    exports: new ExportTable(options.exports, options.maxConnectionsPerExport ?? 32),
    resolver: options.exports,
    pool: new BufferPool(64 * 1024 * 1024),
    log,
    handshakeMs: options.handshakeMs ?? 10_000,
    inFlight: options.inFlight ?? 16,
    memory: new MemoryBudget(options.memoryBytes ?? 256 * 1024 * 1024),
    stallMs: options.stallMs ?? 120_000,
    inFlightBytes: options.inFlightBytes ?? 64 * 1024 * 1024,
  }
  const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, socket => {
    if (connections.size >= maxConnections) {
      log?.warn({ peer: socket.remoteAddress, maxConnections }, 'nbd connection refused: too many')
      socket.destroy()
      return
    }
    const connection = new ServerConnection(socket, deps)
    connections.add(connection)
    void connection.ended.then(() => connections.delete(connection))
  })
  await listen(server, options.listen)
  server.on('error', err => log?.error({ err }, 'nbd server cannot accept a connection'))
  let closed: Promise<void> | undefined

  const close = async (graceMs: number) => {
    const stopped = new Promise<void>(resolve => server.close(() => resolve()))
    for (const connection of connections) connection.drain()
    const timer = setTimeout(() => {
      for (const connection of connections) connection.destroy()
    }, graceMs)
    await Promise.all([...connections].map(connection => connection.ended))
    clearTimeout(timer)
    await stopped
  }

  return {
    address: boundAddress(server),
    get connections() {
      return connections.size
    },
    async closeExport(name) {
      const affected = [...connections].filter(connection => connection.exportName === name)
      for (const connection of affected) connection.destroy()
      await Promise.all(affected.map(connection => connection.ended))
    },
    close(graceMs = 5000) {
      closed ??= close(graceMs)
      return closed
    },
  }
}

function listen(server: Server, where: NbdServerOptions['listen']): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen('path' in where ? { path: where.path } : { host: where.host ?? '127.0.0.1', port: where.port }, () => {
      server.removeListener('error', reject)
      resolve()
    })
  })
}

function boundAddress(server: Server): NbdServer['address'] {
  const address = server.address()
  if (typeof address === 'string') return { path: address }
  if (address === null) throw new NbdError('NBD_UNREACHABLE', 'the server does not listen')
  return { host: address.address, port: address.port }
}
