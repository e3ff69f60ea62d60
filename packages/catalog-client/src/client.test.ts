import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { createCatalogClient } from './client.ts'

/** A catalog that answers as the test says; the real one is tested in services/catalog. */
const open: { close(): unknown }[] = []
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close()
})

async function serve(answer: (request: IncomingMessage, response: ServerResponse, body: string) => void): Promise<string> {
  const server: Server = createServer((request, response) => {
    let body = ''
    request.on('data', chunk => {
      body += chunk
    })
    request.on('end', () => answer(request, response, body))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  open.push({
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function client(url: string, options: { timeoutMs?: number; patienceMs?: number } = {}) {
  const catalog = createCatalogClient({ url, token: 'secret', patienceMs: 3000, ...options })
  open.push(catalog)
  return catalog
}

test('arguments go into path, query and body as the routes say', async () => {
  const seen: string[] = []
  const url = await serve((request, response, body) => {
    seen.push(`${request.method} ${request.url} ${request.headers.authorization} ${body}`)
    response.statusCode = 204
    response.end()
  })
  const catalog = client(url)
  await catalog.listRuns()
  await catalog.listRuns({ vmId: 'v', active: true, limit: 3 })
  await catalog.listPoints('v')
  await catalog.addNote('../x', 'n')
  await catalog.createBackup('v', { full: true }, 'k')
  await catalog.deletePlatform('p')
  expect(seen).toEqual([
    'GET /internal/v1/runs Bearer secret ',
    'GET /internal/v1/runs?vmId=v&active=true&limit=3 Bearer secret ',
    'GET /internal/v1/points?vmId=v Bearer secret ',
    'POST /internal/v1/runs/..%2Fx/notes Bearer secret {"note":"n"}',
    'POST /internal/v1/vms/v/backups Bearer secret {"options":{"full":true},"idempotencyKey":"k"}',
    'DELETE /internal/v1/platforms/p Bearer secret ',
  ])
})

test('503, a cut connection and silence are tried again, with the same idempotency key', async () => {
  const keys = new Set<unknown>()
  let tries = 0
  const url = await serve((request, response, body) => {
    keys.add((JSON.parse(body) as { idempotencyKey: unknown }).idempotencyKey)
    tries += 1
    if (tries === 1) request.socket.destroy()
    else if (tries === 2) response.writeHead(503).end('{"code":"CATALOG_UNREACHABLE","message":"database away"}')
    else if (tries === 3) response.writeHead(200).write('{"id":')
    else response.writeHead(200).end('{"id":"r"}')
  })
  expect(await client(url, { timeoutMs: 200 }).createBackup('v', {})).toEqual({ id: 'r' })
  expect(tries).toBe(4)
  expect(keys.size).toBe(1)
  expect([...keys][0]).toMatch(/^[0-9a-f-]{36}$/)
})

test('after its patience: CATALOG_UNREACHABLE, retryable, with the method', async () => {
  const failing = client('http://127.0.0.1:1', { patienceMs: 150 }).getRun('r')
  await expect(failing).rejects.toMatchObject({ code: 'CATALOG_UNREACHABLE', retryable: true, context: { method: 'getRun' } })
})

test('errors keep code and context; what is not known is CATALOG_FAULT; neither is tried again', async () => {
  let tries = 0
  let text = ''
  let status = 409
  const url = await serve((_request, response) => {
    tries += 1
    response.writeHead(status).end(text)
  })
  const catalog = client(url)
  text = '{"code":"RUN_ENDED","message":"run r is failed","context":{"state":"failed"}}'
  await expect(catalog.planned('r')).rejects.toMatchObject({
    code: 'RUN_ENDED',
    message: 'run r is failed',
    context: { state: 'failed' },
    retryable: false,
  })
  for (const odd of ['<html>', '[]', 'null', '{"code":"constructor"}', '{"code":5,"message":{},"context":1}', '']) {
    text = odd
    await expect(catalog.planned('r')).rejects.toMatchObject({ code: 'CATALOG_FAULT' })
  }
  status = 200
  text = '{"id":'
  await expect(catalog.getRun('r')).rejects.toMatchObject({ code: 'CATALOG_FAULT' })
  expect(tries).toBe(8)
})

test('pages come as bytes', async () => {
  const url = await serve((_request, response) => response.end(Buffer.from([0, 255, 10])))
  expect(await client(url).imagePages('i')).toEqual(new Uint8Array([0, 255, 10]))
})

test('many ranges go in parts, in order, and all of them', async () => {
  const parts: { index: number }[][] = []
  const url = await serve((_request, response, body) => {
    parts.push((JSON.parse(body) as { ranges: { index: number }[] }).ranges)
    response.writeHead(204).end()
  })
  const range = (index: number, extents: number) => ({
    imageId: 'i',
    index,
    firstPage: index,
    pageCount: 1,
    bytes: 1,
    extents: Array.from({ length: extents }, (_, i) => ({ offset: i * 2, length: 1 })),
  })
  await client(url).addRanges('r', [
    ...Array.from({ length: 2100 }, (_, i) => range(i, 1)),
    ...Array.from({ length: 12 }, (_, i) => range(2100 + i, 16_000)),
  ])
  expect(parts.flat().map(r => r.index)).toEqual(Array.from({ length: 2112 }, (_, i) => i))
  expect(Math.max(...parts.map(p => p.length))).toBe(1000)
  expect(parts.length).toBe(5)
})

test('the change feed reconnects, skips signs of life and lines it does not know, and ends with its signal', async () => {
  let connections = 0
  const url = await serve((_request, response) => {
    connections += 1
    response.write(`\n{"runId":"r${connections}"}\nnonsense\n{"other":1}\n{"run`)
    if (connections < 3) setTimeout(() => response.destroy(), 20)
  })
  const stop = new AbortController()
  const seen: string[] = []
  for await (const { runId } of client(url).changes(stop.signal)) {
    seen.push(runId)
    if (seen.length === 3) stop.abort()
  }
  expect(seen).toEqual(['r1', 'r2', 'r3'])
})
