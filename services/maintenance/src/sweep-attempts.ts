import { IDS_PER_CALL, type ObjectToSweep } from '@varve/catalog-client'
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
  const { catalog, strangePoints } = context
  const kept = new Set<string>()
  await sweepFailedRuns(kept, context)
  for (let round = 0; round < MOST_ROUNDS && kept.size <= IDS_PER_CALL; round++) {
    const { askedAt, attempts } = await catalog.attemptsToSweep([...kept])
    if (attempts.length === 0) return
    for (const runId of await strangePoints.needing(attempts.map(({ runId }) => runId))) kept.add(runId)
    const due = attempts.filter(({ runId }) => !kept.has(runId))
    await eachOf(due, AT_ONCE, ({ id, runId }) => sweepAttempt(id, runId, context))
    await catalog.attemptsSwept(
      due.map(({ id }) => id),
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

/** @param kept grows by the runs whose objects a point that the catalog does not know may need */
async function sweepFailedRuns(kept: Set<string>, context: CheckContext): Promise<void> {
  const { catalog, strangePoints } = context
  for (let round = 0; round < MOST_ROUNDS && kept.size <= IDS_PER_CALL; round++) {
    const objects = await catalog.objectsToSweep([...kept])
    if (objects.length === 0) return
    for (const runId of await strangePoints.needing(objects.map(({ runId }) => runId))) kept.add(runId)
    const due = objects.filter(({ runId }) => !kept.has(runId))
    await take(due, 'of a backup that ended without a point', context)
    await catalog.objectsSwept(due)
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
