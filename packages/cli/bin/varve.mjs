#!/usr/bin/env node
// Plain JavaScript that old Node versions can parse, so that they get a clear line instead of a syntax error.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`NODE_TOO_OLD: varve needs Node 20.19 or newer, this is ${process.versions.node}. Install Node 24 and try again.`)
  process.exit(1)
}
const main = new URL('../dist/main.js', import.meta.url)
if (!existsSync(fileURLToPath(main))) {
  console.error('NOT_BUILT: varve is not built yet. Run "npm run build" in the checkout, then try again.')
  process.exit(1)
}
const { main: run } = await import(main.href)
await run(process.argv.slice(2), fileURLToPath(import.meta.url))
