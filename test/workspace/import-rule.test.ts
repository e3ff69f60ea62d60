import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '..', '..')
const BIOME = join(ROOT, 'node_modules', '.bin', 'biome')

/** The layers of DESIGN.md: each line is a file and one statement in it, and the rule that must bite (or null). */
const CASES: readonly [file: string, statement: string, rule: string | null][] = [
  ['packages/cbt/src/a.ts', "import { a } from '@varve/errors'", null],
  ['packages/cbt/src/b.ts', "import { a } from '@varve/runtime'", 'noRestrictedImports'],
  ['packages/block-map/src/a.ts', "import { a } from '@varve/repository'", 'noRestrictedImports'],
  ['packages/nbd/src/a.ts', "import { a } from '@varve/cbt'", null],
  ['packages/nbd/src/b.ts', "import { a } from '@varve/queue'", 'noRestrictedImports'],
  ['packages/nbd/src/c.ts', "const { a } = await import('@varve/queue')", 'noRestrictedImports'],
  ['packages/nbd/src/d.ts', "import { a } from '@varve/cbt/dist/extent.js'", 'noRestrictedImports'],
  ['packages/nbd/src/e.ts', "import { a } from '../../cbt/src/extent.ts'", 'noRestrictedImports'],
  ['packages/runtime/src/a.ts', "import { a } from '@varve/cbt'", 'noRestrictedImports'],
  ['packages/nbd/src/f.ts', "import { a } from '@varve/range-worker'", 'noRestrictedImports'],
  ['packages/range-worker/src/a.ts', "import { a } from '@varve/nbd'", null],
  ['packages/range-worker/src/b.ts', "import { a } from '@varve/block-reader'", 'noRestrictedImports'],
  ['packages/range-worker/src/c.ts', "import { a } from '@varve/nbd/dist/errors.js'", 'noRestrictedImports'],
  ['packages/range-worker/src/d.ts', 'const a = process.env.HOME', 'noProcessEnv'],
  ['services/block-reader/src/b.ts', "import { a } from '@varve/range-worker/lane'", null],
  ['services/snapshot/src/a.ts', "import { a } from '@varve/range-worker'", null],
  ['services/api/src/a.ts', "import { a } from '@varve/nbd'", null],
  ['services/api/src/b.ts', "import { a } from '@varve/catalog'", 'noRestrictedImports'],
  ['services/block-reader/src/a.ts', "import { a } from '@varve/snapshot'", 'noRestrictedImports'],
  ['services/standalone/src/a.ts', "import { a } from '@varve/catalog'", null],
  ['services/standalone/src/b.ts', "import { a } from '@varve/hci'", 'noRestrictedImports'],
  ['packages/cli/src/a.ts', "import { a } from '@varve/catalog'", 'noRestrictedImports'],
  ['services/api/src/c.ts', 'const a = process.env.HOME', 'noProcessEnv'],
  ['services/api/src/config.ts', 'const a = process.env.HOME', null],
]

let folder: string
let found: Map<string, string[]>

/** Lint all cases in one run, in a folder that looks like the workspace and has its biome.json. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-lint-'))
  await copyFile(join(ROOT, 'biome.json'), join(folder, 'biome.json'))
  for (const [file, statement] of CASES) {
    await mkdir(dirname(join(folder, file)), { recursive: true })
    await writeFile(join(folder, file), `${statement}\nconsole.log(a)\n`)
  }
  const run = promisify(execFile)(BIOME, ['lint', '--vcs-enabled=false', '--reporter=json', '--max-diagnostics=none', '.'], { cwd: folder })
  const { stdout } = await run.catch((error: { stdout: string }) => error)
  const report = JSON.parse(stdout) as { diagnostics: { category: string; location: { path: string | { file: string } } }[] }
  found = new Map()
  for (const { category, location } of report.diagnostics) {
    const file = typeof location.path === 'string' ? location.path : location.path.file
    found.set(file, [...(found.get(file) ?? []), category.split('/').at(-1) ?? ''])
  }
})

afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
})

describe('the import rule', () => {
  test.each(CASES)('%s: %s -> %s', (file, _statement, rule) => {
    const rules = (found.get(file) ?? []).filter(name => name === 'noRestrictedImports' || name === 'noProcessEnv')
    expect(rules).toEqual(rule === null ? [] : [rule])
  })
})
