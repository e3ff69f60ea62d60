import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { workerFile } from '@varve/runtime'
import { expect, test } from 'vitest'

test('a sparse disk of 63 TB: memory stays under 300 MB, and every operation follows the data', { timeout: 60_000 }, async () => {
  const script = fileURLToPath(workerFile(import.meta.url, './testing/sparse-bench.js'))
  const { stdout } = await promisify(execFile)(process.execPath, [script])
  const result = JSON.parse(stdout)
  expect(result).toMatchObject({ allocated: 3001, changed: 1000, tailIsRight: true })
  expect(result.maxRss).toBeLessThan(300e6)
  // 3000 grains and their few pages of maps and versions; the disk has 961 million.
  expect(result.onDisk).toBeLessThan(400e6)
  console.log(stdout.trim())
})
