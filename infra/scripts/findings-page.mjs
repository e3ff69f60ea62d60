/**
 * Write the table of findings at the end of docs/checks.md from the one in the code.
 *   node infra/scripts/findings-page.mjs          write
 *   node infra/scripts/findings-page.mjs --print  print the whole page (a test compares it)
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const { FINDING_CODES } = await import(pathToFileURL(join(root, 'packages', 'catalog-client', 'dist', 'finding-codes.js')).href)
const page = join(root, 'docs', 'checks.md')
const HEAD = '## Findings\n'
const SWEPT = { yes: 'yes', asked: 'when asked', no: 'no' }

const rows = Object.entries(FINDING_CODES).map(
  ([code, { kind, invariant, swept, help }]) => `| \`${code}\` | ${kind} | ${invariant ?? '–'} | ${SWEPT[swept]} | ${help} |`,
)
const table = [
  '*Invariant* is its number in DESIGN.md, *swept* whether a sweep takes it away. Written from the table in the code by',
  '`node infra/scripts/findings-page.mjs`; a test keeps both equal.',
  '',
  '| code | kind | invariant | swept | what it means, and what to do |',
  '|---|---|---|---|---|',
  ...rows,
]
const text = `${readFileSync(page, 'utf8').split(HEAD)[0]}${HEAD}\n${table.join('\n')}\n`
if (process.argv.includes('--print')) process.stdout.write(text)
else writeFileSync(page, text)
