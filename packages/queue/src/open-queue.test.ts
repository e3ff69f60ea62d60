import { createLogger } from '@varve/runtime'
import { expect, test } from 'vitest'
import { openQueue } from './open-queue.ts'

const log = createLogger('test', 'fatal')

test.each([
  ['http://127.0.0.1/', 'QUEUE_URL_INVALID'],
  ['postgres://127.0.0.1/x?options=-csearch_path', 'QUEUE_URL_INVALID'],
  ['redis://127.0.0.1:1/0', 'QUEUE_UNREACHABLE'],
  ['postgres://varve@127.0.0.1:1/x', 'QUEUE_UNREACHABLE'],
  ['postgres://varve@/x?host=/nonexistent/folder', 'QUEUE_UNREACHABLE'],
])('%s can not be opened: %s', async (url, code) => {
  await expect(openQueue(url, { log, connectMs: 400 })).rejects.toMatchObject({ code })
})
