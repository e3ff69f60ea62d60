import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger } from '@varve/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildApi } from './build-api.ts'
import { MemoryCatalog } from './testing/memory-catalog.ts'
import { openScriptedPlatform } from './testing/scripted-platform.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-api-'))
  await mkdir(join(folder, 'page', 'assets'), { recursive: true })
  await writeFile(join(folder, 'page', 'index.html'), '<!doctype html><title>page</title>')
  await writeFile(join(folder, 'page', 'assets', 'index-1a2b.js'), '1')
  await writeFile(join(folder, 'secret'), 'secret')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

function build(dashboardDir: string) {
  const token = 'a-token-of-sixteen-or-more'
  const log = createLogger('api-test', 'silent')
  return buildApi({ catalog: new MemoryCatalog().catalog, openPlatform: openScriptedPlatform([]), token, log, dashboardDir })
}

test('the page comes with a policy that allows nothing but itself, and is asked for each time; its parts are kept', async () => {
  const app = await build(join(folder, 'page'))
  const page = await app.inject({ url: '/' })
  expect(page.body).toMatch(/<title>page/)
  const policy = String(page.headers['content-security-policy'])
  expect(policy).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';/)
  expect(policy).toMatch(/frame-ancestors 'none'/)
  expect(policy).not.toMatch(/unsafe|http|\*/)
  expect(page.headers).toMatchObject({ 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' })
  expect((await app.inject({ url: '/assets/index-1a2b.js' })).headers['cache-control']).toMatch(/immutable/)
  for (const url of ['/../secret', '/..%2fsecret', '/assets/../../secret', '/assets/none.js']) {
    const answer = await app.inject({ url })
    expect([url, answer.statusCode >= 400, answer.body.includes('"secret"')]).toEqual([url, true, false])
  }
  await app.close()
})

test('without a built page there is a line that says how to build it', async () => {
  const app = await build(join(folder, 'nothing'))
  expect((await app.inject({ url: '/' })).body).toMatch(/npm run build/)
  await app.close()
})
