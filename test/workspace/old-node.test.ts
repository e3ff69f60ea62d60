import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { ROOT } from '../support/system.ts'

/** Started with a Node that says it is 18.20.4. */
test.each([
  ['infra/scripts/run.mjs', ['build'], 'Varve needs Node >=20.19; this is 18.20.4. Install Node 24 (or 22, or 20.19) and run this again.'],
  [
    'packages/cli/bin/varve.mjs',
    ['--help'],
    'NODE_TOO_OLD: varve needs Node 20.19 or newer, this is 18.20.4. Install Node 24 and try again.',
  ],
])('%s on a Node that is too old says so in one line', async (file, args, line) => {
  const folder = await mkdtemp(join(tmpdir(), 'varve-node-'))
  try {
    const pretend = join(folder, 'pretend.cjs')
    await writeFile(pretend, "Object.defineProperty(process.versions, 'node', { value: '18.20.4' })\n")
    const failed = await promisify(execFile)(process.execPath, ['--require', pretend, join(ROOT, file), ...args]).then(
      () => undefined,
      (error: { code: number; stderr: string }) => error,
    )
    expect(failed).toMatchObject({ code: 1, stderr: `${line}\n` })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
