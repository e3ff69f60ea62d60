import { createServer, type Server, type Socket } from 'node:net'
import { createSecureContext, type SecureContext } from 'node:tls'
import type { Logger } from '@varve/runtime'
import { NbdError } from '../errors.ts'
import { BufferPool } from './buffer-pool.ts'
import { ServerConnection } from './connection.ts'
import type { ExportResolver } from './export-resolver.ts'
import { ExportTable } from './export-table.ts'
import { MemoryBudget } from './memory-budget.ts'

/** Port 0 takes a free one; see `NbdServer.address`. */
type Listen = { readonly host?: string; readonly port: number } | { readonly path: string }
type Address = { readonly host: string; readonly port: number } | { readonly path: string }

/** TLS of a server, version 1.2 or later. Clients need no certificate: the export name is what gives them access. */
export interface NbdServerTls {
  /** The server's certificate, PEM; and those that issued it, when its clients don't have them. */
  readonly cert: string | Buffer
  /** Its private key, PEM. */
  readonly key: string | Buffer
  /** Where TLS is required. Absent: at `listen`; otherwise `listen` stays without TLS, beside this. */
  readonly listen?: Listen
}

export interface NbdServerOptions {
  readonly listen: Listen
  /** Clients must start TLS before they say anything else. Both addresses serve the same opened exports. */
  readonly tls?: NbdServerTls
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
  readonly address: Address
  /** Where it listens with TLS; the same as `address` when there is no other. */
  readonly tlsAddress: Address | undefined
  readonly connections: number
  /** Close every connection of one export now; resolves when their requests are done and the backend is closed. */
  closeExport(name: string): Promise<void>
  /** Stop listening, answer the requests in flight (at most `graceMs`, default 5 000), close everything. */
  close(graceMs?: number): Promise<void>
}

/**
 * Start an NBD server. Throws the system's error when it cannot listen (EADDRINUSE, EACCES), and OpenSSL's when certificate and key are none
 * or don't fit each other.
 */
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
  const accept = (tls: SecureContext | undefined) => (socket: Socket) => {
    if (connections.size >= maxConnections) {
      log?.warn({ peer: socket.remoteAddress, maxConnections }, 'nbd connection refused: too many')
      socket.destroy()
      return
    }
    const connection = new ServerConnection(socket, deps, tls)
    connections.add(connection)
    void connection.ended.then(() => connections.delete(connection))
  }
  const secure = options.tls && createSecureContext({ cert: options.tls.cert, key: options.tls.key, minVersion: 'TLSv1.2' })
  const server = await listen(options.listen, accept(options.tls?.listen === undefined ? secure : undefined))
  const beside = options.tls?.listen && (await listen(options.tls.listen, accept(secure)).catch(error => refuse(server, error)))
  const servers = beside === undefined ? [server] : [server, beside]
  for (const one of servers) one.on('error', err => log?.error({ err }, 'nbd server cannot accept a connection'))
  let closed: Promise<void> | undefined

  const close = async (graceMs: number) => {
    const stopped = Promise.all(servers.map(stopListening))
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
    tlsAddress: secure === undefined ? undefined : boundAddress(beside ?? server),
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

function listen(where: Listen, accept: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, accept)
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen('path' in where ? { path: where.path } : { host: where.host ?? '127.0.0.1', port: where.port }, () => {
      server.removeListener('error', reject)
      resolve(server)
    })
  })
}

function stopListening(server: Server): Promise<void> {
  return new Promise(resolve => server.close(() => resolve()))
}

/** The second address could not be had: leave the first. */
async function refuse(server: Server, error: unknown): Promise<never> {
  await stopListening(server)
  throw error
}

function boundAddress(server: Server): Address {
  const address = server.address()
  if (typeof address === 'string') return { path: address }
  if (address === null) throw new NbdError('NBD_UNREACHABLE', 'the server does not listen')
  return { host: address.address, port: address.port }
}
