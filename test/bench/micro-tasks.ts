import { diffBlocks, Page } from '@varve/block-map'
import { PagedMap } from '@varve/cbt'
import { decodeRequest, encodeRequest, ReadAssembly, ReplyReader } from '@varve/nbd/testing'
import { formatHash, isZero, MemoryStore, PackWriter } from '@varve/repository'
import { compressBound, decompress, KeptBuffers, openCompressor, randomObjectIds, signRequest } from '@varve/repository/testing'
import { KiB, MiB } from '@varve/runtime'
import { noise } from '../support/pattern.ts'

/** One thing that is done over and over on the way of the bytes. */
export interface MicroTask {
  readonly name: string
  /** Of disk that one call is about; for MiB a second. */
  readonly bytes: number
  readonly run: () => unknown
}

const BLOCK = 256 * KiB
/** Of one page: 256 MiB of disk. */
const BLOCKS = 1024

export function* microTasks(): Generator<MicroTask> {
  yield* nbdTasks()
  yield* bitmapTasks()
  yield* pageTasks()
  yield* blockTasks()
  yield { name: 'SigV4: sign a PUT', bytes: 0, run: signPut }
}

function* nbdTasks(): Generator<MicroTask> {
  const request = { flags: 0, command: 0, cookie: { high: 0, low: 7 }, offset: 2 ** 40, length: 2 * MiB }
  yield { name: 'NBD: encode and decode a request', bytes: 2 * MiB, run: () => decodeRequest(encodeRequest(request)) }
  const [head, piece] = [structuredRead(2 * MiB), noise('reply', 64 * KiB)]
  const target = Buffer.alloc(2 * MiB)
  yield {
    name: 'NBD: a reply of 2 MiB in pieces of 64 KiB',
    bytes: 2 * MiB,
    run() {
      const open = { command: 0, assembly: new ReadAssembly(0, 2 * MiB, target), extents: undefined, error: undefined }
      let ended = 0
      const finished = (): void => void ended++
      const reader = new ReplyReader({ structuredReplies: true, allocationContext: undefined, find: () => open, finished })
      reader.push(head)
      for (let at = 0; at < 2 * MiB; at += piece.length) reader.push(piece)
      if (ended !== 1) throw new Error('the reply did not end')
    },
  }
}

/** Header of a structured reply with one chunk of data from offset 0, the last: the data follows. */
function structuredRead(length: number): Buffer {
  const head = Buffer.alloc(28)
  head.writeUInt32BE(0x668e33ef, 0)
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(1, 6)
  head.writeUInt32BE(7, 12)
  head.writeUInt32BE(length + 8, 16)
  return head
}

function* bitmapTasks(): Generator<MicroTask> {
  const granules = (1024 * 1024 * MiB) / (64 * KiB)
  const bitmap = new PagedMap(1, granules)
  for (let n = 0; n < granules; n += 1009) bitmap.fill(n, n + 1, 1)
  yield {
    name: 'bitmap: all runs of 1 TiB, 0.1 % dirty',
    bytes: 1024 * 1024 * MiB,
    run() {
      let runs = 0
      for (let run = bitmap.nextRun(0, granules); run !== undefined; run = bitmap.nextRun(run.to, granules)) runs++
      return runs
    },
  }
  yield { name: 'bitmap: mark a granule that is dirty', bytes: 64 * KiB, run: () => bitmap.all(0, 1, 1) || bitmap.fill(0, 1, 1) }
}

function* pageTasks(): Generator<MicroTask> {
  const page = pageOf('a')
  const bytes = page.encode()
  const other = page.clone()
  for (let n = 0; n < BLOCKS; n += 100) other.setZero(n)
  yield { name: 'block map: encode a page of 256 MiB', bytes: BLOCKS * BLOCK, run: () => page.encode() }
  yield { name: 'block map: decode a page of 256 MiB', bytes: BLOCKS * BLOCK, run: () => Page.decode(bytes) }
  yield { name: 'block map: diff of two pages of 256 MiB', bytes: BLOCKS * BLOCK, run: () => diffBlocks(page, other) }
}

function pageOf(seed: string): Page {
  const page = Page.empty(0, BLOCKS)
  const newId = randomObjectIds()
  const packs = Array.from({ length: 8 }, () => newId())
  for (let n = 0; n < BLOCKS; n++)
    page.setStored(n, noise(`${seed} ${n}`, 32), {
      packId: packs[n >> 7]!,
      offset: 32 + (n % 128) * BLOCK,
      storedLength: 100_000,
      codec: 1,
    })
  return page
}

function* blockTasks(): Generator<MicroTask> {
  const zeros = Buffer.alloc(BLOCK)
  const random = noise('block', BLOCK)
  // As a log is: zstd makes a third of it.
  const text = Buffer.from(random.toString('hex').replaceAll('0', ' ').slice(0, BLOCK))
  const packed = Buffer.alloc(compressBound(BLOCK))
  yield { name: 'zero test: a block of zeros', bytes: BLOCK, run: () => isZero(zeros) }
  yield { name: 'zero test: zeros but for the last byte', bytes: BLOCK, run: () => isZero(lastSet) }
  yield { name: 'hash: a block', bytes: BLOCK, run: () => formatHash(random) }
  const coder = openCompressor('zstd')
  if (coder !== undefined) {
    const length = coder.compressInto(packed, text)
    const stored = Buffer.from(packed.subarray(0, length))
    yield { name: `${coder.name}: compress a block of text`, bytes: BLOCK, run: () => coder.compressInto(packed, text) }
    yield { name: `${coder.name}: compress a random block`, bytes: BLOCK, run: () => coder.compressInto(packed, random) }
    yield { name: `${coder.name}: decompress a block of text`, bytes: BLOCK, run: () => decompress(coder.codec, stored, packed) }
  }
  const blocks = Array.from({ length: 32 }, (_, n) => noise(`pack ${n}`, BLOCK)).map(bytes => ({ bytes, hash: formatHash(bytes) }))
  const buffers = new KeptBuffers(4)
  const store = new MemoryStore()
  yield {
    name: 'pack: 8 MiB of raw blocks, hashes known',
    bytes: 32 * BLOCK,
    async run() {
      const writer = new PackWriter(store, randomObjectIds(), undefined, buffers)
      for (const { hash, bytes } of blocks) await writer.add(hash, bytes)
      const { objects } = await writer.finish()
      await store.delete(objects.map(({ key }) => key))
    },
  }
}

const lastSet = Buffer.alloc(BLOCK)
lastSet[BLOCK - 1] = 1

const PAYLOAD_HASH = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

function signPut(): unknown {
  return signRequest(
    { method: 'PUT', path: '/bucket/packs/0a/object', query: '', headers: { host: '127.0.0.1:9000' }, payloadHash: PAYLOAD_HASH },
    { accessKey: 'access', secretKey: 'secret' },
    { region: 'us-east-1', service: 's3', time: new Date(1_800_000_000_000) },
  )
}
