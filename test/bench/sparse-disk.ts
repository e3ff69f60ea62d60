import { KiB, MiB } from '@varve/runtime'
import { noise } from '../support/pattern.ts'
import type { BenchPlatform } from './bench-platform.ts'

/** Pieces of 64 KiB: 100 MB. */
const PIECES = 1526

/** A VM with a sparse disk that holds 64 MiB. */
export async function makeSparseVm(platform: BenchPlatform, name: string, size: number): Promise<string> {
  const platformVmId = await platform.createVm(name, [size])
  const disk = await platform.guest(platformVmId)
  await disk.write(0, noise('head', 64 * MiB))
  await disk.flush()
  await disk.close()
  return platformVmId
}

/** Change 100 MB in 64 KiB pieces all over it. */
export async function changeAllOver(platform: BenchPlatform, platformVmId: string, seed: string): Promise<void> {
  const disk = await platform.guest(platformVmId)
  for (let i = 0; i < PIECES; i++)
    await disk.write(Math.floor(((i + 0.5) * disk.size) / PIECES / (64 * KiB)) * 64 * KiB, noise(`${seed} ${i}`, 64 * KiB))
  await disk.flush()
  await disk.close()
}
