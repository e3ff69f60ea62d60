import { IDS_PER_CALL } from '@varve/catalog-client'
import { hasCode } from '@varve/errors'
import { mapKey, type ParsedKey, packKey, parseKey, type Repository, rootKey, type StoredObject } from '@varve/repository'
import type { CheckContext } from './check-context.ts'
import { allOf, batches } from './each-of.ts'
import { ObjectTable } from './object-table.ts'
import { forgetReferenced, type Unknown } from './references.ts'

type Of<Kind extends ParsedKey['kind']> = Pick<StoredObject, 'key' | 'size'> & { readonly parsed: Extract<ParsedKey, { kind: Kind }> }

const ATTEMPT_BYTES = 12
const BLOCK_KEYS = [
  ['pack', packKey],
  ['map', mapKey],
] as const
/** A sweep that takes long reads the manifests that came since so often. */
const READ_AGAIN_MS = 5000
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * The whole listing of the repository: whose is every object? It is listed first and asked about then: what writes an object is recorded before it is
 * written, so that an object without an owner has none.
 *
 * @param before what the check before found, as `code subject`: what is of an unknown owner goes only at the second look
 * @returns the sizes of all packs
 */
export async function checkObjects(context: CheckContext, before: ReadonlySet<string>): Promise<ObjectTable> {
  const { repository, findings, signal } = context
  const packs = new ObjectTable()
  const unknown: Unknown = { pack: new ObjectTable(), map: new ObjectTable(), root: new Map() }
  for await (const listed of batches(repository.store.list('', { signal }), IDS_PER_CALL)) {
    findings.seen.objects += listed.length
    const blocks: Of<'pack' | 'map'>[] = []
    const roots: Of<'root'>[] = []
    const manifests: Of<'manifest'>[] = []
    for (const { key, size } of listed) {
      const parsed = parseKey(key)
      if (parsed.kind === 'pack') packs.set(parsed.id, size)
      if (parsed.kind === 'pack' || parsed.kind === 'map') blocks.push({ key, size, parsed })
      else if (parsed.kind === 'root' && UUID.test(parsed.imageId)) roots.push({ key, size, parsed })
      else if (parsed.kind === 'manifest') manifests.push({ key, size, parsed })
      else if (parsed.kind === 'unknown' || parsed.kind === 'root') addKey('key-unknown', key, size)
      else if (parsed.kind === 'other') addKey('key-of-others', key, size)
    }
    await checkBlocks(blocks, unknown, context)
    await checkRoots(roots, unknown, context)
    await checkManifests(manifests, context)
  }
  await checkCompacted(unknown, context)
  await checkUnknown(unknown, before, context)
  await checkUnfinished(before, context)
  return packs

  function addKey(code: 'key-unknown' | 'key-of-others', key: string, size: number): void {
    findings.add({ code, subject: key, message: `${size} bytes` })
  }
}

async function checkBlocks(
  objects: readonly Of<'pack' | 'map'>[],
  unknown: Unknown,
  { catalog, repository, strangePoints, findings }: CheckContext,
): Promise<void> {
  if (objects.length === 0) return
  const owners = await catalog.objectOwners(objects.map(({ key }) => key))
  const kept = await strangePoints.needing(runsOf(owners))
  for (const [i, { owner, runId, attemptId }] of owners.entries()) {
    const { key, size, parsed } = objects[i]!
    if (owner === 'none') unknown[parsed.kind].set(parsed.id, size)
    if (owner !== 'ended' || runId === null || kept.has(runId)) continue
    findings.add({
      code: 'object-of-ended-attempt',
      subject: key,
      runId,
      message: `${size} bytes, of attempt ${attemptId}`,
      takeAway: async signal => {
        // It cannot have got an owner; asking costs little beside a lost backup.
        const [again] = await catalog.objectOwners([key])
        if (again?.owner === 'kept' || again?.owner === 'live' || (await strangePoints.needing([runId])).size > 0) return false
        await repository.store.delete([key], { signal })
        await catalog.objectsSwept([{ key, runId }])
        return true
      },
    })
  }
}

/** Of runs that ended long ago the catalog keeps only which tries were accepted: they are gone through once, beside all that is not known yet. */
async function checkCompacted(unknown: Unknown, { catalog, repository, strangePoints, findings, signal }: CheckContext): Promise<void> {
  if (unknown.pack.count + unknown.map.count === 0) return
  for await (const { runId, ended, attemptIds } of allOf(after => catalog.compactedAttempts(after))) {
    signal.throwIfAborted()
    const ids = Buffer.from(attemptIds, 'base64')
    for (let at = 0; at + ATTEMPT_BYTES <= ids.length; at += ATTEMPT_BYTES) {
      for (const [kind, keyOf] of BLOCK_KEYS) {
        const objects = unknown[kind].forgetOf(ids.readUInt32BE(at), ids.readUInt32BE(at + 4), ids.readUInt32BE(at + 8))
        if (!ended || objects.length === 0 || (await strangePoints.needing([runId])).size > 0) continue
        for (const { id, size } of objects) {
          const key = keyOf(id)
          findings.add({
            code: 'object-of-ended-attempt',
            subject: key,
            runId,
            message: `${size} bytes, of a backup that ended without a point`,
            takeAway: async stop => {
              if ((await strangePoints.needing([runId])).size > 0) return false
              await repository.store.delete([key], { signal: stop })
              return true
            },
          })
        }
      }
    }
  }
}

/** The runs whose objects are to be taken away. */
function runsOf(owners: readonly { readonly owner: string; readonly runId: string | null }[]): Set<string> {
  return new Set(owners.flatMap(({ owner, runId }) => (owner === 'ended' && runId !== null ? [runId] : [])))
}

async function checkRoots(
  objects: readonly Of<'root'>[],
  unknown: Unknown,
  { catalog, repository, strangePoints, findings }: CheckContext,
): Promise<void> {
  if (objects.length === 0) return
  const owners = await catalog.imageOwners(objects.map(({ parsed }) => parsed.imageId))
  const kept = await strangePoints.needing(runsOf(owners))
  for (const [i, { owner, runId, imageId }] of owners.entries()) {
    const { key, size } = objects[i]!
    if (owner === 'none') unknown.root.set(imageId, size)
    if (owner !== 'ended' || runId === null || kept.has(runId)) continue
    findings.add({
      code: 'root-of-failed-run',
      subject: key,
      runId,
      message: `${size} bytes`,
      takeAway: async signal => {
        const [again] = await catalog.imageOwners([imageId])
        if (again?.owner !== 'ended' || (await strangePoints.needing([runId])).size > 0) return false
        await repository.store.delete([key], { signal })
        return true
      },
    })
  }
}

/**
 * The point of a manifest is sealed, or its run is under way, or it failed: then the images in the manifest say which run that was, and it stays, for the seal may be
 * one that this catalog has lost.
 */
async function checkManifests(objects: readonly Of<'manifest'>[], { catalog, repository, findings, signal }: CheckContext): Promise<void> {
  if (objects.length === 0) return
  const sealed = new Set(await catalog.sealedPoints(objects.map(({ parsed }) => parsed.restorePointId)))
  for (const { key, parsed } of objects) {
    const { restorePointId } = parsed
    if (sealed.has(restorePointId)) continue
    let imageIds: string[]
    let told: string
    try {
      const manifest = await repository.getManifest(key, { signal })
      imageIds = manifest.images.map(({ imageId }) => imageId).filter(id => UUID.test(id))
      told = `of VM ${manifest.vm.name}, ${manifest.createdAt}`
    } catch (error) {
      // Taken away since it was listed.
      if (hasCode(error, 'OBJECT_NOT_FOUND')) continue
      if (!hasCode(error, 'MANIFEST_INVALID', 'MANIFEST_VERSION_UNKNOWN', 'OBJECT_TOO_LARGE')) throw error
      findings.add({ code: 'point-of-unknown-run', subject: restorePointId, message: `${key}: ${error.message}` })
      continue
    }
    // Asked after the manifest was read: a run that was sealed meanwhile says so.
    const owners = imageIds.length === 0 ? [] : await catalog.imageOwners(imageIds.slice(0, IDS_PER_CALL))
    const known = owners.find(({ owner }) => owner !== 'none')
    if (known === undefined) findings.add({ code: 'point-of-unknown-run', subject: restorePointId, message: `${key}: ${told}` })
    if (known?.owner !== 'ended' || owners.some(({ owner }) => owner !== 'ended')) continue
    findings.add({
      code: 'manifest-of-failed-run',
      subject: key,
      runId: known.runId,
      message: told,
    })
  }
}

/**
 * Packs, maps and roots that no run of this catalog wrote. What a restore point in the repository needs, of whatever catalog, is nobody's leak; and
 * nothing goes as long as not every one of them could be read.
 */
async function checkUnknown(unknown: Unknown, before: ReadonlySet<string>, context: CheckContext): Promise<void> {
  if (unknown.pack.count + unknown.map.count + unknown.root.size === 0) return
  const { repository, findings, limits } = context
  const read = new Set<string>()
  let readAt = performance.now()
  let certain = await forgetReferenced(unknown, read, context)
  for (const [kind, keyOf] of BLOCK_KEYS)
    for (const { id, size } of unknown[kind].entries()) {
      add('object-of-unknown-owner', keyOf(id), size, () => unknown[kind].get(id) !== undefined)
    }
  for (const [imageId, size] of unknown.root) add('root-of-unknown-owner', rootKey(imageId), size, () => unknown.root.has(imageId))

  /** Points that were sealed since, by whatever catalog, need what they name. */
  async function readAgain(): Promise<void> {
    if (performance.now() - readAt < READ_AGAIN_MS) return
    readAt = performance.now()
    certain = (await forgetReferenced(unknown, read, context)) && certain
  }

  function add(code: 'object-of-unknown-owner' | 'root-of-unknown-owner', key: string, size: number, isUnknown: () => boolean): void {
    const seenBefore = before.has(`${code} ${key}`)
    const why = certain ? (seenBefore ? '' : '; seen for the first time') : '; not every restore point could be read, so it may be needed'
    findings.add({
      code,
      subject: key,
      message: `${size} bytes${why}`,
      takeAway: async signal => {
        if (!seenBefore) return false
        const ageS = await ageOf(key, repository, signal)
        if (ageS === undefined) return false
        if (!(ageS >= limits.unknownAgeS)) return `put ${days(ageS)} days ago: it is left alone for ${days(limits.unknownAgeS)}`
        await readAgain()
        if (!certain || !isUnknown()) return false
        await repository.store.delete([key], { signal })
        return true
      },
    })
  }
}

/** Seconds since it was put; undefined: the store does not list it now. */
async function ageOf(key: string, { store }: Repository, signal: AbortSignal): Promise<number | undefined> {
  for await (const found of store.list(key, { signal })) if (found.key === key) return (Date.now() - found.putAt) / 1000
  return undefined
}

const days = (seconds: number): string => (seconds / 86_400).toFixed(1)

async function checkUnfinished(before: ReadonlySet<string>, { repository, findings, limits, signal }: CheckContext): Promise<void> {
  const unfinished = repository.store.unfinished
  if (unfinished === undefined) return
  const code = unfinished.kind === 'upload' ? 'unfinished-upload' : 'temporary-file'
  for await (const write of unfinished.list({ signal })) {
    const ageS = (Date.now() - write.begunAt) / 1000
    // A process that writes a file has it there for a moment.
    if (unfinished.kind === 'file' && ageS < limits.unfinishedS) continue
    findings.add({
      code,
      subject: write.key,
      message: `begun ${new Date(write.begunAt).toISOString()}`,
      takeAway: async stop => {
        if (ageS < limits.unfinishedS || (unfinished.kind === 'upload' && !before.has(`${code} ${write.key}`))) return false
        await unfinished.drop(write, { signal: stop })
        return true
      },
    })
  }
}
