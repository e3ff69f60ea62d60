import { NBD_FLAG_CAN_MULTI_CONN } from '../constants.ts'
import { NbdError, protocolError } from '../errors.ts'
import { Connection, type ConnectionOptions } from './connection.ts'
import { ExportClient } from './export-client.ts'
import { Lanes } from './lanes.ts'
import type { NbdAddress, NbdClient, NbdClientOptions } from './nbd-client.ts'
import { trustOf } from './start-tls.ts'

/**
 * Open one export. Further connections are opened only where the server promises that a flush covers all of them
 * (NBD_FLAG_CAN_MULTI_CONN); a server that takes fewer than asked for is used with those it took.
 *
 * Throws NBD_UNREACHABLE, NBD_CLOSED, NBD_EXPORT_UNKNOWN, NBD_REFUSED, NBD_TLS_UNTRUSTED, NBD_PROTOCOL, NBD_INPUT_INVALID, NBD_ABORTED.
 */
export async function connectNbd(address: NbdAddress, options: NbdClientOptions = {}): Promise<NbdClient> {
  const lanes = new Lanes(options.inFlight ?? 8)
  const connectionOptions: ConnectionOptions = {
    connectMs: options.connectMs ?? 10_000,
    stallMs: options.stallMs ?? 30_000,
    ...(address.tls === undefined ? {} : { trust: trustOf(address, address.tls) }),
    onRoom: () => lanes.dispatch(),
    onDead: error => lanes.fail(error),
  }
  const first = await Connection.open(address, connectionOptions, options.signal)
  lanes.add(first)
  const more = (first.negotiated.flags & NBD_FLAG_CAN_MULTI_CONN) === 0 ? 0 : Math.max(0, (options.connections ?? 1) - 1)
  const opened = await Promise.allSettled(Array.from({ length: more }, () => Connection.open(address, connectionOptions, options.signal)))
  for (const outcome of opened) if (outcome.status === 'fulfilled') lanes.add(outcome.value)
  try {
    for (const outcome of opened) if (outcome.status === 'fulfilled') checkSame(first, outcome.value)
    if (options.signal?.aborted === true)
      throw new NbdError('NBD_ABORTED', 'aborted while connecting', {}, { cause: options.signal.reason })
    return new ExportClient(first.negotiated, lanes, options.signal)
  } catch (error) {
    await lanes.close(new NbdError('NBD_CLOSED', 'not opened'))
    throw error
  }
}

function checkSame(first: Connection, other: Connection): void {
  const [a, b] = [first.negotiated, other.negotiated]
  if (
    a.size !== b.size ||
    a.flags !== b.flags ||
    a.structuredReplies !== b.structuredReplies ||
    a.allocationContext !== b.allocationContext
  ) {
    throw protocolError('two connections to one export were told different things')
  }
}
