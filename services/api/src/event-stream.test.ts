import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { createLogger } from '@varve/runtime'
import { afterEach, expect, test } from 'vitest'
import { type ScriptedApi, startScriptedApi } from './testing/start-scripted-api.ts'

const log = createLogger('api-test', 'silent')
let api: ScriptedApi
afterEach(() => api.close())

async function vmId(name: string): Promise<string> {
  const platform = await api.memory.addPlatform({
    name: 'a',
    kind: 'scp',
    url: 'http://scp.test',
    credentials: { username: 'u', password: 'p' },
  })
  await api.memory.reportVms(platform.id, [
    { platformVmId: 'v', name, power: 'on', exclusions: [], disks: [{ diskId: 'virtio0', size: 2 ** 30 }] },
  ])
  return [...api.memory.vms.keys()][0] as string
}

async function open(path: string): Promise<IncomingMessage> {
  const sent = request(`${api.url}${path}`, { headers: { authorization: `Bearer ${api.token}` } }).end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  return response.setEncoding('utf8')
}

/** Read until `enough` likes the text, or the stream ends. */
async function readUntil(stream: IncomingMessage, enough: (text: string) => boolean = () => false): Promise<string> {
  let text = ''
  for await (const part of stream) {
    text += part
    if (enough(text)) break
  }
  return text
}

function events(text: string): { event: string; data: { state?: string; progress?: { fraction: number } } }[] {
  return [...text.matchAll(/^event: (\w+)\ndata: (.*)$/gm)].map(([, event, data]) => ({
    event: event as string,
    data: JSON.parse(data as string),
  }))
}

test('a run is followed from its present state to its end, and then the stream closes', async () => {
  api = await startScriptedApi({ log, ticks: 4, tickMs: 60 })
  const run = await api.memory.createBackup(await vmId('files-1'), {})
  const stream = await open(`/v1/runs/${run.id}/events`)
  expect(stream.headers['content-type']).toMatch('text/event-stream')
  const seen = events(await readUntil(stream))
  expect(seen[0]?.event).toBe('run')
  expect(seen.at(-1)).toMatchObject({ event: 'end', data: { state: 'succeeded', progress: { fraction: 1 } } })
  const fractions = seen.map(({ data }) => data.progress?.fraction ?? 0)
  expect(fractions).toEqual([...fractions].sort((a, b) => a - b))
  // A reader that comes back after the end learns the end.
  expect(events(await readUntil(await open(`/v1/runs/${run.id}/events`)))).toMatchObject([{ event: 'end', data: { state: 'succeeded' } }])
})

test('the stream of everything begins with the runs under way and tells of new ones', async () => {
  api = await startScriptedApi({ log, ticks: 3, tickMs: 40 })
  const id = await vmId('files-1')
  const stream = await open('/v1/events')
  const text = readUntil(stream, all => all.includes('"state":"succeeded"'))
  await api.memory.createBackup(id, {})
  const seen = events(await text)
  expect(seen[0]).toEqual({ event: 'runs', data: [] })
  expect(seen.at(-1)?.data.state).toBe('succeeded')
})

test('a heartbeat comes, the number of streams is bounded, and closing the service ends them', async () => {
  api = await startScriptedApi({ log, ticks: 3, more: { heartbeat: 20, mostStreams: 1 } })
  const stream = await open('/v1/events')
  const second = await open('/v1/events')
  expect([second.statusCode, JSON.parse(await readUntil(second)).code]).toEqual([503, 'TOO_MANY_STREAMS'])
  let ended = false
  let closing: Promise<void> | undefined
  let text = ''
  for await (const part of stream) {
    text += part
    if (text.includes(': heartbeat')) closing ??= api.close()
  }
  ended = true
  await closing
  expect(ended).toBe(true)
})
