import { appendFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger, sleep } from '@varve/runtime'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type TaskSpec, Tasks } from './tasks.ts'

const log = createLogger('hci', 'silent')
const spec: TaskSpec = {
  action: 'test',
  description: 'a test',
  objectType: 'server',
  objectId: 'vm',
  objectName: 'VM',
  user: 'u',
  locks: 'vm',
}
let folder: string
let file: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-tasks-'))
  file = join(folder, 'tasks.jsonl')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

test('a task runs, reports progress, and ends', async () => {
  const tasks = await Tasks.open(file, log)
  let end = () => {}
  const { id } = await tasks.start(spec, ({ progress }) => {
    progress(0.42)
    return new Promise(resolve => {
      end = resolve
    })
  })
  expect(tasks.get(id)).toMatchObject({ status: 'doing', progress: 42, end_time: '' })
  expect(tasks.holding('vm')?.id).toBe(id)
  await expect(tasks.start(spec, async () => {})).rejects.toMatchObject({ code: 'VM_BUSY' })
  await tasks.start({ ...spec, locks: 'other' }, async () => {})
  end()
  await sleep(1)
  expect(tasks.get(id)).toMatchObject({ status: 'finish', progress: 100 })
  await tasks.start(spec, async () => {})
  await tasks.close()
})

test('what goes wrong is its description, and the lock is free again', async () => {
  const tasks = await Tasks.open(file, log)
  const { id } = await tasks.start(spec, async () => {
    throw new Error('no space')
  })
  await sleep(1)
  expect(tasks.get(id)).toMatchObject({ status: 'failure', progress: -1, description: 'no space' })
  expect(tasks.holding('vm')).toBe(undefined)
  await tasks.close()
})

test('after a restart finished tasks are known, and unfinished ones have failed; a torn line is ignored', async () => {
  const first = await Tasks.open(file, log)
  const finished = await first.start(spec, async () => {})
  await sleep(1)
  const cut = await first.start(spec, ({ signal }) => sleep(60_000, signal))
  // As after a kill: the file as it is now, with half a line.
  await appendFile(file, '{"id":"torn","sta')
  const second = await Tasks.open(file, log)
  expect(second.get(finished.id).status).toBe('finish')
  expect(second.get(cut.id)).toMatchObject({ status: 'failure', error: 'INTERRUPTED' })
  expect(() => second.get('torn')).toThrow('no task')
  await second.close()
  await first.close()
})

test('closing aborts what listens and waits for it', async () => {
  const tasks = await Tasks.open(file, log)
  const { id } = await tasks.start(spec, ({ signal }) => sleep(60_000, signal))
  await tasks.close()
  expect(tasks.get(id)).toMatchObject({ status: 'failure', description: 'the platform is stopping' })
})
