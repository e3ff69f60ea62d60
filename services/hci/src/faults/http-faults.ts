import { sleep } from '@varve/runtime'
import { HciError } from '../errors.ts'
import type { App } from '../http/app.ts'
import { pathOf } from '../http/app.ts'
import { errorEnvelope } from '../http/envelope.ts'
import { type Faults, numberParam, textParam } from './faults.ts'

/** `http-slow`, `http-slow-answer`, `http-drop`, `http-drop-answer`, `http-status`, `answer-merge`, before anything else sees the call. The fault calls themselves are spared. */
export function addHttpFaults(app: App, faults: Faults): void {
  app.addHook('onRequest', async (request, reply) => {
    if (request.url.startsWith('/varve-test/')) return
    const subject = { method: request.method, path: request.url }
    const slow = faults.take('http-slow', subject)
    if (slow !== undefined) await sleep(numberParam(slow, 'ms', 1000))
    if (faults.take('http-drop', subject) !== undefined) {
      reply.hijack()
      request.raw.socket.resetAndDestroy()
      return
    }
    const failing = faults.take('http-status', subject)
    if (failing !== undefined) {
      const status = numberParam(failing, 'status', 500)
      const retryAfter = failing.params?.retry_after
      if (typeof retryAfter === 'number') reply.header('retry-after', retryAfter)
      const message = textParam(failing, 'message', `scripted fault ${status}`)
      return reply.status(status).send(errorEnvelope(pathOf(request.url), status, 'FAULT_INJECTED', message))
    }
    return undefined
  })

  app.addHook('onSend', async (request, _reply, payload) => {
    const spared = request.url.startsWith('/varve-test/')
    const subject = { method: request.method, path: request.url }
    const late = spared ? undefined : faults.take('http-slow-answer', subject)
    if (late !== undefined) await sleep(numberParam(late, 'ms', 1000))
    if (!spared && faults.take('http-drop-answer', subject)) request.raw.socket.resetAndDestroy()
    return payload
  })

  // Runs before the envelope is put around: this plugin is registered first.
  app.addHook('preSerialization', async (request, reply, payload) => {
    if (reply.statusCode >= 400 || request.url.startsWith('/varve-test/')) return payload
    const fault = faults.take('answer-merge', { method: request.method, path: request.url })
    const over = fault?.params?.data
    if (!isObject(over)) return payload
    if (Array.isArray(payload)) return payload.map(row => (isObject(row) ? merge(row, over) : row))
    return isObject(payload) ? mergeAnswer(payload, over) : payload
  })
}

/** A page (or a plain list): over every row; else over the answer itself. Lists are merged by `id` where both sides have one, so that one disk can be changed. */
function mergeAnswer(answer: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  if (Array.isArray(answer.data) && 'total_size' in answer) {
    return { ...answer, data: answer.data.map(row => (isObject(row) ? merge(row, over) : row)) }
  }
  return merge(answer, over)
}

function merge(base: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const result = { ...base }
  for (const [key, value] of Object.entries(over)) {
    const old = result[key]
    if (isObject(old) && isObject(value)) result[key] = merge(old, value)
    else if (Array.isArray(old) && Array.isArray(value) && value.every(v => isObject(v) && 'id' in v)) {
      result[key] = old.map(item => {
        const change = value.find(v => isObject(item) && v.id === item.id)
        return change === undefined ? item : merge(item, change)
      })
    } else result[key] = value
  }
  return result
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Throws what `task-fail` scripts; waits as `task-slow` says. */
export async function taskFault(faults: Faults, action: string, vmId: string, signal: AbortSignal): Promise<void> {
  const slow = faults.take('task-slow', { action, vm_id: vmId })
  if (slow !== undefined) await sleep(numberParam(slow, 'ms', 1000), signal)
  const failing = faults.take('task-fail', { action, vm_id: vmId })
  if (failing === undefined) return
  await sleep(numberParam(failing, 'ms', 0), signal)
  throw new HciError('FAULT_INJECTED', textParam(failing, 'message', `scripted fault: ${action} failed`))
}
