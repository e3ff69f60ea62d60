/** Reproducible bytes that do not compress: a function of the seed. */
export declare function noise(seed: string, length: number): Buffer
/** SHA-256 of a whole export, read in 4 MiB steps. */
export declare function exportHash(disk: {
  readonly size: number
  readInto(offset: number, target: Uint8Array): Promise<void>
}): Promise<string>
//# sourceMappingURL=pattern.d.ts.map
