import type { Finding } from '@varve/catalog-client'
import { createLogger } from '@varve/runtime'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { App } from './api-context.ts'
import { buildApi } from './build-api.ts'
import { MemoryCatalog } from './testing/memory-catalog.ts'
import { openScriptedPlatform } from './testing/scripted-platform.ts'

const TOKEN = 'a-token-of-sixteen-or-more'

let memory: MemoryCatalog
let app: App
beforeEach(async () => {
  memory = new MemoryCatalog()
  app = await buildApi({ catalog: memory.catalog, openPlatform: openScriptedPlatform([]), token: TOKEN, log: createLogger('t', 'silent') })
})
afterEach(() => app.close())

async function call(method: 'GET' | 'POST', url: string, payload?: object) {
  const response = await app.inject({ method, url, headers: { authorization: `Bearer ${TOKEN}` }, ...(payload && { payload }) })
  return { status: response.statusCode, body: response.json() }
}

function finding(subject: string, over: Partial<Finding> = {}): Finding {
  const nobody = { runId: null, platformId: null, message: 'm', swept: false }
  return { code: 'snapshot-of-ended-run', kind: 'leak', invariant: 7, subject, ...nobody, ...over }
}

const broken = finding('packs/aa/x', { code: 'pack-missing', kind: 'broken', invariant: 1 })

test('a check is asked for, listed without findings, and read with them and what they mean', async () => {
  const asked = await call('POST', '/v1/checks', { scope: 'all' })
  expect(asked).toMatchObject({ status: 202, body: { scope: 'all', sweep: false, state: 'queued', summary: null } })
  const { id } = asked.body
  expect((await call('GET', `/v1/checks/${id}`)).body.findings).toBeNull()
  memory.endCheck(id, [broken])
  const { body } = await call('GET', '/v1/checks?scope=all')
  expect(body.items).toMatchObject([{ id, state: 'done', summary: { broken: 1, seen: { pages: 5 } } }])
  expect(body.items[0]).not.toHaveProperty('findings')
  expect((await call('GET', '/v1/checks?scope=leaks')).body.items).toEqual([])
  const read = (await call('GET', `/v1/checks/${id}`)).body
  expect(read.findings).toEqual([{ ...broken, help: expect.stringContaining('cannot be restored') }])
})

test.each([
  [{ scope: 'some' }, 400],
  [{}, 400],
  [{ scope: 'all', sweep: 'yes' }, 400],
  [{ scope: 'all', colour: 'red' }, 400],
])('%j is refused', async (body, status) => {
  expect((await call('POST', '/v1/checks', body)).status).toBe(status)
})

test('leaks: what the newest whole look found, less what later ones took away, and what the newest one found', async () => {
  expect((await call('GET', '/v1/leaks')).body).toEqual({ checkId: null, checkedAt: null, underWay: false, items: [], swept: [] })
  const look = async (periodic: boolean, at: number, ...findings: Finding[]): Promise<void> => {
    const { id } = await memory.createCheck({ scope: 'leaks', sweep: periodic })
    memory.endCheck(id, findings, { periodic, createdAt: new Date(at * 1000).toISOString() })
  }
  await look(true, 1, finding('forgotten'))
  await look(false, 2, finding('a'), finding('b'), broken)
  await look(true, 3, finding('a', { swept: true }), finding('passing'))
  await look(true, 4, finding('c'))
  await memory.createCheck({ scope: 'leaks', sweep: false })
  const { body } = await call('GET', '/v1/leaks')
  expect(body.underWay).toBe(true)
  expect(body.items.map((item: Finding) => item.subject)).toEqual(['b', 'c'])
  expect(body.swept.map((item: Finding) => item.subject)).toEqual(['a'])

  // One made at an interval that looked at everything counts as such.
  const { id } = await memory.createCheck({ scope: 'all', sweep: true })
  memory.endCheck(id, [finding('d')], { periodic: true, createdAt: new Date(5000).toISOString() })
  expect((await call('GET', '/v1/leaks')).body.items.map((item: Finding) => item.subject)).toEqual(['d'])
})
