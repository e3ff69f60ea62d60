import { IDS_PER_CALL } from '@varve/catalog-client'
import { hasCode } from '@varve/errors'
import { type ParsedKey, parseKey, type StoredObject } from '@varve/repository'
import type { CheckContext } from './check-context.ts'
import { batches } from './each-of.ts'
import { PackSizes } from './pack-sizes.ts'
import { type Unknown, unreferenced } from './references.ts'

type Of<Kind extends ParsedKey['kind']> = StoredObject & { readonly parsed: Extract<ParsedKey, { kind: Kind }> }

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * The whole listing of the repository: whose is every object? It is listed first and asked about then: what writes an object is recorded before it is
 * written, so that an object without an owner has none.
 *
 * @param before what the check before found, as `code subject`: what is of an unknown owner goes only at the second look
 * @returns the sizes of all packs
 */
export async function checkObjects(context: CheckContext, before: ReadonlySet<string>): Promise<PackSizes> {
  const { repository, findings, signal } = context
  const sizes = new PackSizes()
  const unknown: Unknown[] = []
  for await (const listed of batches(repository.store.list('', { signal }), IDS_PER_CALL)) {
    const objects = listed.map(object => ({ ...object, parsed: parseKey(object.key) }))
    findings.seen.objects += objects.length
    const blocks: Of<'pack' | 'map'>[] = []
    const roots: Of<'root'>[] = []
    const manifests: Of<'manifest'>[] = []
    for (const { key, size, parsed } of objects) {
      if (parsed.kind === 'pack') sizes.set(parsed.id, size)
      if (parsed.kind === 'pack' || parsed.kind === 'map') blocks.push({ key, size, parsed })
      else if (parsed.kind === 'root' && UUID.test(parsed.imageId)) roots.push({ key, size, parsed })
      else if (parsed.kind === 'manifest') manifests.push({ key, size, parsed })
      else if (parsed.kind === 'unknown' || parsed.kind === 'root') addKey('key-unknown', key, size)
      else if (parsed.kind === 'other') addKey('key-of-others', key, size)
    }
    unknown.push(...(await checkBlocks(blocks, context)))
    unknown.push(...(await checkRoots(roots, context)))
    await checkManifests(manifests, context)
  }
  await checkUnknown(unknown, before, context)
  await checkUnfinished(before, context)
  return sizes

  function addKey(code: 'key-unknown' | 'key-of-others', key: string, size: number): void {
    findings.add({ code, subject: key, message: `${size} bytes` })
  }
}

async function checkBlocks(objects: readonly Of<'pack' | 'map'>[], { catalog, repository, findings }: CheckContext): Promise<Unknown[]> {
  if (objects.length === 0) return []
  const owners = await catalog.objectOwners(objects.map(({ key }) => key))
  const unknown: Unknown[] = []
  for (const [i, { owner, runId, attemptId }] of owners.entries()) {
    const object = objects[i]!
    const { key, size, parsed } = object
    if (owner === 'none') unknown.push({ key, size, kind: parsed.kind, id: parsed.id })
    if (owner !== 'ended') continue
    findings.add({
      code: 'object-of-ended-attempt',
      subject: key,
      runId,
      message: `${size} bytes, of ${attemptId === null ? 'a range of the run' : `attempt ${attemptId}`}`,
      takeAway: async signal => {
        const [again] = await catalog.objectOwners([key])
        if (again?.owner !== 'ended') return false
        await repository.store.delete([key], { signal })
        if (runId !== null) await catalog.objectsSwept([{ key, runId }])
        return true
      },
    })
  }
  return unknown
}

async function checkRoots(objects: readonly Of<'root'>[], { catalog, repository, findings }: CheckContext): Promise<Unknown[]> {
  if (objects.length === 0) return []
  const owners = await catalog.imageOwners(objects.map(({ parsed }) => parsed.imageId))
  const unknown: Unknown[] = []
  for (const [i, { owner, runId, imageId }] of owners.entries()) {
    const { key, size } = objects[i]!
    if (owner === 'none') unknown.push({ key, size, kind: 'root', id: imageId })
    if (owner !== 'ended') continue
    findings.add({
      code: 'root-of-failed-run',
      subject: key,
      runId,
      message: `${size} bytes`,
      takeAway: async signal => {
        const [again] = await catalog.imageOwners([imageId])
        if (again?.owner !== 'ended') return false
        await repository.store.delete([key], { signal })
        return true
      },
    })
  }
  return unknown
}

/** The point of a manifest is sealed, or its run is under way, or it failed: then the images in the manifest say which run that was. */
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
      takeAway: async stop => {
        const again = await catalog.imageOwners(imageIds.slice(0, IDS_PER_CALL))
        const isSealed = (await catalog.sealedPoints([restorePointId])).length > 0
        if (isSealed || again.some(({ owner }) => owner !== 'ended')) return false
        await repository.store.delete([key], { signal: stop })
        return true
      },
    })
  }
}

/**
 * Packs, maps and roots that no run of this catalog wrote. What a restore point in the repository needs, of whatever catalog, is nobody's leak; and
 * nothing goes as long as not every one of them could be read.
 */
async function checkUnknown(unknown: readonly Unknown[], before: ReadonlySet<string>, context: CheckContext): Promise<void> {
  if (unknown.length === 0) return
  const { repository, findings } = context
  const { objects, certain } = await unreferenced(unknown, context)
  for (const { key, size, kind } of objects) {
    const code = kind === 'root' ? 'root-of-unknown-owner' : 'object-of-unknown-owner'
    const seenBefore = before.has(`${code} ${key}`)
    const why = certain ? (seenBefore ? '' : '; seen for the first time') : '; not every restore point could be read, so it may be needed'
    findings.add({
      code,
      subject: key,
      message: `${size} bytes${why}`,
      takeAway: async signal => {
        if (!certain || !seenBefore) return false
        await repository.store.delete([key], { signal })
        return true
      },
    })
  }
}

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
