import { once } from 'node:events'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { ROOT } from '../support/system.ts'

/** Libraries that a process of a worker needs and its threads don't; each would cost every lane's start some 100 ms of processor time. */
const NOT_FOR_LANES = ['undici', 'pg', 'ioredis', 'bullmq', 'pino', 'typebox']

/** The packages in node_modules that a thread has loaded after importing this module. */
async function loadedBy(file: string): Promise<readonly string[]> {
  const script = `
    const { parentPort } = require('node:worker_threads')
    import('${pathToFileURL(file).href}').then(() => parentPort.postMessage(Object.keys(require.cache)))`
  const worker = new Worker(script, { eval: true, workerData: { repositoryUrl: 'memory:', storeSettings: {} } })
  try {
    const [files] = (await once(worker, 'message')) as [string[]]
    return [...new Set(files.map(path => path.split('/node_modules/').at(-1)!.split('/')[0]!))]
  } finally {
    await worker.terminate()
  }
}

test.each(['block-reader', 'block-writer'])('a lane of %s loads only what it works with', async service => {
  const loaded = await loadedBy(join(ROOT, 'services', service, 'dist', 'lane.js'))
  expect(loaded.filter(name => NOT_FOR_LANES.includes(name))).toEqual([])
})
