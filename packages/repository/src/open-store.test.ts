import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const DIST = new URL('../dist/index.js', import.meta.url).href

/** Packages in node_modules that a process has loaded after opening a store. */
async function loadedBy(url: string): Promise<readonly string[]> {
  const script = `
    import { createRequire } from 'node:module'
    const { openStore } = await import('${DIST}')
    const store = await openStore('${url}', { endpoint: 'http://127.0.0.1:1', accessKey: 'a', secretKey: 'b', attempts: 1 }).catch(() => {})
    await store?.close()
    const files = Object.keys(createRequire(import.meta.url).cache)
    console.log(JSON.stringify([...new Set(files.map(file => file.split('/node_modules/').at(-1).split('/')[0]))]))`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])
  return JSON.parse(stdout) as string[]
}

test('a directory is opened without the libraries behind S3', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'varve-open-'))
  try {
    expect(await loadedBy(pathToFileURL(folder).href)).not.toContain('undici')
    const loaded = await loadedBy('s3://bucket')
    expect(loaded).toContain('undici')
    // Only who lists or deletes needs these.
    expect(loaded).not.toContain('xml2js')
    expect(loaded).not.toContain('pino')
  } finally {
    await rm(folder, { recursive: true })
  }
})
