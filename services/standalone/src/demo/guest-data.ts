import { createCipheriv, createHash } from 'node:crypto'

/** 64 KiB: what the demo's guest writes at a time. */
export const PIECE = 64 * 1024

/** How a piece looks: log-like text that compresses, or bytes that do not. */
export type PieceKind = 'text' | 'random'

const POOL_SIZE = 1024 * 1024
let pool: Buffer | undefined

/** One MiB of lines as a server writes them; pieces are cuts of it, so that they compress like real logs. */
function textPool(): Buffer {
  if (pool !== undefined) return pool
  const noise = keystream('pool', POOL_SIZE)
  const verbs = ['GET', 'PUT', 'POST', 'DELETE']
  const paths = ['/orders', '/orders/search', '/stock', '/customers', '/health', '/invoices/export']
  const lines: string[] = []
  for (let at = 0, length = 0; length < POOL_SIZE; at += 8) {
    const a = noise.readUInt32LE(at % (POOL_SIZE - 8))
    const b = noise.readUInt32LE((at + 4) % (POOL_SIZE - 8))
    const line = `2026-03-${String((a % 28) + 1).padStart(2, '0')}T${String(b % 24).padStart(2, '0')}:${String(a % 60).padStart(2, '0')} ${verbs[b % 4]} ${paths[a % 6]}?id=${b.toString(16)} ${a % 17 === 0 ? 500 : 200} ${b % 900}ms\n`
    lines.push(line)
    length += line.length
  }
  pool = Buffer.from(lines.join('').slice(0, POOL_SIZE))
  return pool
}

/** Reproducible noise: AES-CTR over zeroes, keyed by the seed. */
function keystream(seed: string, length: number): Buffer {
  const key = createHash('sha256').update(seed).digest()
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length))
}

/**
 * The bytes of one piece, a function of its seed alone: the demo keeps only seeds and can say later what every byte must be.
 */
export function pieceBytes(kind: PieceKind, seed: string): Buffer {
  if (kind === 'random') return keystream(seed, PIECE)
  const source = textPool()
  const hash = createHash('sha256').update(seed).digest()
  const start = hash.readUInt32LE(0) % (POOL_SIZE - PIECE)
  const bytes = Buffer.from(source.subarray(start, start + PIECE))
  hash.copy(bytes, 0)
  return bytes
}
