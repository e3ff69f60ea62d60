/**
 * Write docs/errors.md from the error tables of all packages and services (each exports its own as `…_ERRORS`).
 *   node infra/scripts/error-page.mjs          write
 *   node infra/scripts/error-page.mjs --print  print (a test compares it with the page)
 */
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')

/** name of the package -> its table */
async function tables() {
  const found = []
  for (const kind of ['packages', 'services']) {
    for (const name of readdirSync(join(root, kind)).sort()) {
      const file = join(root, kind, name, 'dist', 'errors.js')
      if (!existsSync(file)) continue
      const module = await import(pathToFileURL(file).href)
      for (const [key, table] of Object.entries(module)) if (key.endsWith('_ERRORS')) found.push([`${kind}/${name}`, table])
    }
  }
  return found
}

function page(found) {
  const lines = [
    '# Error codes',
    '',
    'Every error that Varve makes on purpose has one of these codes: in API answers (`code`), in runs (`reason`), in the CLI and in logs. *Again* says whether the same',
    'call can succeed later without anybody changing anything; HTTP is the status when it reaches a user through the API. This page is written from the',
    'tables in the code by `node infra/scripts/error-page.mjs`; a test keeps both equal.',
  ]
  for (const [owner, table] of found) {
    lines.push('', `## ${owner}`, '', '| code | again | HTTP | when, and what to do |', '|---|---|---|---|')
    for (const [code, facts] of Object.entries(table).sort(([a], [b]) => (a < b ? -1 : 1))) {
      lines.push(`| \`${code}\` | ${facts.retryable ? 'yes' : 'no'} | ${facts.status ?? 500} | ${facts.help.replaceAll('|', '\\|')} |`)
    }
  }
  return `${lines.join('\n')}\n`
}

const text = page(await tables())
if (process.argv.includes('--print')) process.stdout.write(text)
else writeFileSync(join(root, 'docs', 'errors.md'), text)
