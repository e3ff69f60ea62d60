import type { ObjectToSweep } from '@varve/catalog-client'
import { mapKey, packKey } from '@varve/repository'
import type { CheckContext } from './check-context.ts'
import { batches, eachOf } from './each-of.ts'

const AT_ONCE = 4
/** Rounds of a thousand each: what is left is for the next check. */
const MOST_ROUNDS = 100

/**
 * What tries at ranges left behind that will never be accepted, and what backups stored that ended without a point: taken away by the catalog's lists, without
 * listing the whole repository. The ids of all packs and maps of a try begin with its own, so two short listings a try find them.
 */
export async function sweepAttempts(context: CheckContext): Promise<void> {
  await sweepFailedRuns(context)
  const { catalog } = context
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const { askedAt, attempts } = await catalog.attemptsToSweep([])
    if (attempts.length === 0) return
    await eachOf(attempts, AT_ONCE, ({ id, runId }) => sweepAttempt(id, runId, context))
    await catalog.attemptsSwept(
      attempts.map(({ id }) => id),
      askedAt,
    )
  }
}

async function sweepAttempt(attemptId: string, runId: string, context: CheckContext): Promise<void> {
  const { catalog, repository, signal } = context
  for (const keyOf of [packKey, mapKey]) {
    for await (const listed of batches(repository.store.list(keyOf(attemptId), { signal }), 1000)) {
      // What was accepted after all, under whatever name, is not garbage.
      const owners = await catalog.objectOwners(listed.map(({ key }) => key))
      const keys = owners.filter(({ owner }) => owner === 'ended').map(({ key }) => key)
      await take(
        keys.map(key => ({ key, runId })),
        `of attempt ${attemptId}`,
        context,
      )
    }
  }
}

async function sweepFailedRuns(context: CheckContext): Promise<void> {
  const { catalog } = context
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const objects = await catalog.objectsToSweep([])
    if (objects.length === 0) return
    await take(objects, 'of a backup that ended without a point', context)
    await catalog.objectsSwept(objects)
  }
}

async function take(objects: readonly ObjectToSweep[], message: string, { repository, findings, signal }: CheckContext): Promise<void> {
  if (objects.length === 0) return
  await repository.store.delete(
    objects.map(({ key }) => key),
    { signal },
  )
  for (const { key, runId } of objects) findings.add({ code: 'object-of-ended-attempt', subject: key, runId, message, swept: true })
}
