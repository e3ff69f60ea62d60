import { readFile } from 'node:fs/promises'
import { createLogger } from '@varve/runtime'
import { expect, test } from 'vitest'
import { DATASTORE_ERRORS } from './datastore/errors.ts'
import { HCI_ERRORS } from './errors.ts'
import { FaultSpec, Faults } from './faults/faults.ts'
import { createApp } from './http/app.ts'
import { settle } from './options.ts'
import type { Platform } from './platform.ts'
import { addRoutes, type RouteDeps } from './routes.ts'

const doc = await readFile(new URL('../API.md', import.meta.url), 'utf8')
const log = createLogger('hci', 'silent')

/** First cells of the rows of the table under a heading, without the back-quotes. */
function column(heading: string): string[] {
  const section = doc.split(/^## /m).find(part => part.startsWith(heading)) ?? ''
  return [...section.matchAll(/^\| `([^`]+)` +\|/gm)].map(match => match[1] ?? '')
}

test('API.md lists exactly the calls that there are', () => {
  const faults = new Faults(true)
  const app = createApp({ bodyLimit: 1, log, faults })
  const routes = new Set<string>()
  app.addHook('onRoute', ({ method, url }) => {
    for (const m of [method].flat()) if (m !== 'HEAD') routes.add(`${m} ${url}`)
  })
  const settings = settle({ dataDir: '/tmp', accounts: [], log, importFolder: '/tmp' })
  addRoutes(app, { platform: { settings, faults } as Platform, key: { modulus: '' } } as RouteDeps)
  // A row may name several dates: /janus/{20180725,20240725}/…
  const documented = column('Calls').flatMap(row => {
    const dates = /\{([\d,]+)\}/.exec(row)
    return dates === null ? [row] : (dates[1] ?? '').split(',').map(date => row.replace(dates[0], date))
  })
  expect([...documented].sort()).toEqual([...routes].sort())
})

test('API.md lists exactly the error codes that there are', () => {
  expect(column('Errors').sort()).toEqual([...new Set([...Object.keys(HCI_ERRORS), ...Object.keys(DATASTORE_ERRORS), 'INTERNAL'])].sort())
})

test('API.md lists exactly the faults that there are', () => {
  expect(column('Scripted faults').sort()).toEqual([...FaultSpec.properties.kind.enum].sort())
})
