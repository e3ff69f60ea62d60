import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { openStore } from '@varve/repository'
import type { Parts, Target } from './parts.ts'

/** Our repository as a heap of objects. */
export async function repositoryOf(
  parts: Parts,
  target: Target,
): Promise<{ packs(): Promise<string[]>; remove(keys: readonly string[]): Promise<void>; close(): Promise<void> }> {
  const { endpoint, accessKey, secretKey } = parts.minio
  const store = await openStore(parts.urlOf(target), target === 's3' ? { endpoint, accessKey, secretKey } : {})
  return {
    async packs() {
      const keys: string[] = []
      for await (const { key } of store.list('packs/')) keys.push(key)
      return keys
    },
    async remove(keys) {
      await store.delete(keys)
    },
    close: () => store.close(),
  }
}

/** Start counting; the answer tells the requests (S3) or files (directory) since. */
export async function storeCounts(parts: Parts, target: Target): Promise<() => Promise<Record<string, number>>> {
  const before = await counts(parts, target)
  return async () => {
    const after = await counts(parts, target)
    const grown = (pattern: RegExp): number =>
      Object.entries(after).reduce((sum, [name, count]) => sum + (pattern.test(name) ? count - (before[name] ?? 0) : 0), 0)
    return {
      puts: grown(/^putobject$|multipart|putobjectpart/),
      gets: grown(/^getobject$/),
      lists: grown(/^listobjects/),
      heads: grown(/^headobject$/),
    }
  }
}

async function counts({ minio, folder }: Parts, target: Target): Promise<Record<string, number>> {
  if (target === 's3') return minio.requests()
  const files = await readdir(join(folder, 'repository'), { recursive: true, withFileTypes: true }).catch(() => [])
  return { putobject: files.filter(entry => entry.isFile()).length }
}
