import { sleep } from '@varve/runtime'
import Type from 'typebox'
import { PlatformError } from '../errors.ts'
import { answerCheck } from './check-answer.ts'
import { text } from './envelope.ts'
import { codeOfText } from './refusal.ts'
import { type ScpClient, segment } from './scp-client.ts'

const startedAnswer = answerCheck(Type.Object({ task_id: Type.String({ minLength: 1, maxLength: 200 }) }))
const taskAnswer = answerCheck(
  Type.Object({
    status: Type.Enum(['waiting', 'doing', 'finish', 'failure', 'canceling', 'canceled']),
    progress: Type.Optional(Type.Number()),
    description: Type.Optional(Type.String()),
    error: Type.Optional(Type.String()),
    entities: Type.Optional(Type.Object({ sub_tasks: Type.Optional(Type.Array(Type.Unknown())) })),
  }),
)

/** Pauses between polls, ms: small things end within one or two, a merge of hours costs one request every two seconds. */
const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 2000
const PAUSE_GROWTH = 1.5

/**
 * Wait for the task that a call started: `data` is that call's answer, with its `task_id`. `stallMs` bounds the time without progress.
 *
 * @throws PlatformError TASK_FAILED, TASK_TIMEOUT, or what the task's text means (CBT_EXPIRED, LEASE_OCCUPIED, …)
 */
export async function waitForTask(
  client: ScpClient,
  what: string,
  data: unknown,
  options: { readonly stallMs: number; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const id = startedAnswer(what, data).task_id
  let pause = FIRST_PAUSE_MS
  let progress: string | undefined
  let progressAt = performance.now()
  for (;;) {
    const answer = await client.call({
      method: 'GET',
      path: `/janus/20180725/tasks/${segment(id, 'TASK_FAILED')}`,
      what: `${what}: task ${id}`,
      missing: 'TASK_FAILED',
      signal: options.signal,
    })
    const task = taskAnswer(`${what}: task`, answer)
    if (task.status === 'finish') return
    if (task.status === 'failure' || task.status === 'canceled') {
      const told = [text(task.description), ...(task.entities?.sub_tasks ?? []).map(subTaskText)].filter(t => t !== '')
      const code = codeOfText(task.error ?? '', ...told) ?? 'TASK_FAILED'
      throw new PlatformError(
        code,
        `${what}: ${task.status === 'canceled' ? 'the task was canceled' : told.join('; ').slice(0, 500) || 'the task failed'}`,
        {
          taskId: id,
          platformCode: text(task.error),
        },
      )
    }
    const now = performance.now()
    const at = `${task.status} ${task.progress}`
    if (at !== progress) {
      progress = at
      progressAt = now
    } else if (now - progressAt > options.stallMs) {
      throw new PlatformError('TASK_TIMEOUT', `${what}: task ${id} made no progress for ${Math.round(options.stallMs / 1000)} s (${at})`, {
        taskId: id,
      })
    }
    await sleep(Math.min(pause, Math.max(1, options.stallMs)), options.signal)
    pause = Math.min(pause * PAUSE_GROWTH, LONGEST_PAUSE_MS)
  }
}

function subTaskText(task: unknown): string {
  const { status, description } = (task ?? {}) as { status?: unknown; description?: unknown }
  return status === 'failure' ? text(description) : ''
}
