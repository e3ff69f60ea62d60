/**
 * Make the skeleton of a workspace package, so that all look alike.
 *   node infra/scripts/new-package.mjs packages/NAME "what it is" [workspace dependency ...]
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { basename, join, relative } from 'node:path'

const [folder, description, ...needs] = process.argv.slice(2)
if (!folder || !description) {
  console.error('usage: new-package.mjs packages/NAME "what it is" [packages/OTHER ...]')
  process.exit(2)
}
const name = basename(folder)
mkdirSync(join(folder, 'src'), { recursive: true })
const json = (file, value) => {
  if (!existsSync(join(folder, file))) writeFileSync(join(folder, file), `${JSON.stringify(value, null, 2)}\n`)
}
json('package.json', {
  name: `@varve/${name}`,
  version: '0.1.0',
  private: true,
  type: 'module',
  description,
  license: 'Apache-2.0',
  engines: { node: '>=20.19' },
  exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' } },
  dependencies: Object.fromEntries(needs.map(other => [`@varve/${basename(other)}`, 'workspace:*'])),
})
json('tsconfig.json', {
  extends: '../../tsconfig.base.json',
  compilerOptions: { rootDir: 'src', outDir: 'dist', tsBuildInfoFile: 'dist/.tsbuildinfo' },
  include: ['src'],
  references: needs.map(other => ({ path: relative(folder, other) })),
})
