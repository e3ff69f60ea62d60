/** How a block's bytes are stored. The numbers are in the formats: never reuse one. */
export const CODECS = { raw: 0, zstd: 1, lz4: 2 } as const

export type Codec = (typeof CODECS)[keyof typeof CODECS]

export function isCodec(value: number): value is Codec {
  return value === CODECS.raw || value === CODECS.zstd || value === CODECS.lz4
}

/** Where the bytes of a stored block are. */
export interface BlockLocation {
  /** 32 hex digits. */
  readonly packId: string
  /** Bytes from the start of the pack, < 4 GiB. */
  readonly offset: number
  /** Bytes in the pack, > 0. */
  readonly storedLength: number
  readonly codec: Codec
}

/** What a page says of one stored block. */
export interface BlockEntry extends BlockLocation {
  /** SHA-256 of the block's bytes, 32 B. */
  readonly hash: Uint8Array
}
