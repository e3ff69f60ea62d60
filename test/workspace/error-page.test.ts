import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { ROOT } from '../support/system.ts'

test('docs/errors.md and the error tables in the code are equal, both ways', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [join(ROOT, 'infra', 'scripts', 'error-page.mjs'), '--print'])
  expect(await readFile(join(ROOT, 'docs', 'errors.md'), 'utf8')).toBe(stdout)
  expect(stdout).toContain('`NBD_STALLED`')
})

test('docs/checks.md and the table of findings in the code are equal, both ways', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [join(ROOT, 'infra', 'scripts', 'findings-page.mjs'), '--print'])
  expect(await readFile(join(ROOT, 'docs', 'checks.md'), 'utf8')).toBe(stdout)
  expect(stdout).toContain('`pack-missing`')
})
