import { type Catalog, IDS_PER_CALL, type RunFacts } from '@varve/catalog-client'
import { hasCode } from '@varve/errors'
import { manifestKey, parseKey, type Repository, restorePointIdOf } from '@varve/repository'
import type { Logger } from '@varve/runtime'
import { batches } from './each-of.ts'

/** How long what a VM's manifests said is believed: a sweep asks about one object after the other. */
const BELIEVED_MS = 30_000

interface StrangePointsDeps {
  readonly catalog: Catalog
  readonly repository: Repository
  readonly log: Logger
  readonly signal: AbortSignal
}

interface Asked {
  readonly at: number
  readonly strange: readonly string[]
}

/**
 * Points in the repository that this catalog does not know. A catalog that was put back to an earlier state (from a dump, or by a failover that lost the last
 * transactions) takes runs for failed, and tries for lost, that were sealed and accepted afterwards; the manifests in the repository are the truth. Whether one is
 * of such a time, or of a backup that died before its seal, cannot be told; so whatever may be needed by one is kept until a person has taken that manifest away.
 *
 * Needed is at most what runs of the same VM wrote that began no later than the run of the point: one VM has one run at a time, and each stands on those before.
 */
export class StrangePoints {
  readonly #deps: StrangePointsDeps
  readonly #asked = new Map<string, Asked>()

  constructor(deps: StrangePointsDeps) {
    this.#deps = deps
  }

  /** Those of these runs whose objects a point that the catalog does not know may need. */
  async needing(runIds: Iterable<string>): Promise<ReadonlySet<string>> {
    const needed = new Set<string>()
    for await (const ids of batches(new Set(runIds), IDS_PER_CALL)) {
      for (const run of await this.#deps.catalog.runFacts(ids)) {
        this.#deps.signal.throwIfAborted()
        if (run.kind !== 'backup' || !(await this.#isNeeded(run))) continue
        needed.add(run.id)
        this.#deps.log.info(
          { runId: run.id, vmId: run.vmId },
          'what a run stored is kept: a point in the repository that the catalog does not know may need it',
        )
      }
    }
    return needed
  }

  async #isNeeded({ id, vmId, startedAt, createdAt }: RunFacts): Promise<boolean> {
    const own = manifestKey(vmId, startedAt ?? createdAt, restorePointIdOf(id))
    const from = own.slice(0, -restorePointIdOf(id).length - '.json'.length)
    const strange = await this.#strangeOf(vmId)
    if (strange.some(key => key >= from)) return true
    // A listing may lack some.
    return (await this.#isThere(own)) && (await this.#deps.catalog.sealedPoints([restorePointIdOf(id)])).length === 0
  }

  async #strangeOf(vmId: string): Promise<readonly string[]> {
    const { catalog, repository, signal } = this.#deps
    const known = this.#asked.get(vmId)
    if (known !== undefined && performance.now() - known.at < BELIEVED_MS) return known.strange
    const at = performance.now()
    const strange: string[] = []
    // Listed first: one that is sealed meanwhile is known then.
    for await (const keys of batches(await repository.listManifests(vmId, { signal }), IDS_PER_CALL)) {
      const points = keys.flatMap(key => {
        const parsed = parseKey(key)
        return parsed.kind === 'manifest' ? [{ key, id: parsed.restorePointId }] : []
      })
      const sealed = new Set(await catalog.sealedPoints(points.map(({ id }) => id)))
      for (const { key, id } of points) if (!sealed.has(id)) strange.push(key)
    }
    this.#asked.set(vmId, { at, strange })
    return strange
  }

  async #isThere(key: string): Promise<boolean> {
    try {
      await this.#deps.repository.store.get(key, { offset: 0, length: 1 }, { signal: this.#deps.signal })
      return true
    } catch (error) {
      if (hasCode(error, 'OBJECT_NOT_FOUND')) return false
      throw error
    }
  }
}
