import type { ApiClient } from './api-client.ts'
import type { Items, PlatformInfo, PointInfo, RunInfo, VmInfo } from './api-types.ts'
import { CliError } from './errors.ts'

/** Shorter prefixes of ids are more likely typing errors. */
const PREFIX_MIN = 4

interface Named {
  readonly id: string
}

/**
 * The one thing that `text` means: by whole id, by exact name, else by the beginning of its id. Pure.
 *
 * @throws CliError NOT_FOUND, AMBIGUOUS
 */
export function choose<T extends Named>(what: string, text: string, all: readonly T[], nameOf: (one: T) => string | undefined): T {
  const byId = all.find(({ id }) => id === text)
  if (byId !== undefined) return byId
  const byName = all.filter(one => nameOf(one) === text)
  const hits = byName.length > 0 || text.length < PREFIX_MIN ? byName : all.filter(({ id }) => id.startsWith(text.toLowerCase()))
  const [first, second] = hits
  if (first === undefined) throw new CliError('NOT_FOUND', `there is no ${what} ${text}`)
  if (second === undefined) return first
  const some = hits.slice(0, 5).map(one => `${one.id.slice(0, 8)}${nameOf(one) === undefined ? '' : ` (${nameOf(one)})`}`)
  throw new CliError('AMBIGUOUS', `${text} fits ${hits.length} ${what}s: ${some.join(', ')}${hits.length > 5 ? ', …' : ''}`)
}

/** A VM that is not known may be new on its platform: the lists are then read again, once. */
export async function findVm(api: ApiClient, text: string): Promise<VmInfo> {
  try {
    return await listedVm(api, text)
  } catch (error) {
    if (!(error instanceof CliError && error.code === 'NOT_FOUND')) throw error
    await readVmsAgain(api)
    return listedVm(api, text)
  }
}

async function listedVm(api: ApiClient, text: string): Promise<VmInfo> {
  return choose('VM', text, await api.list<VmInfo>('/v1/vms'), ({ name }) => name)
}

/** Have every platform's list of VMs read now. Gives what failed, by the name of the platform. */
export async function readVmsAgain(api: ApiClient): Promise<{ readonly platform: string; readonly error: unknown }[]> {
  const { items } = await api.get<Items<PlatformInfo>>('/v1/platforms')
  const readings = await Promise.allSettled(items.map(({ id }) => api.post(`/v1/platforms/${id}/sync`, undefined)))
  return readings.flatMap((reading, at) => {
    if (reading.status === 'fulfilled') return []
    return [{ platform: items[at]?.name ?? '', error: reading.reason }]
  })
}

export async function findPlatform(api: ApiClient, text: string): Promise<PlatformInfo> {
  const { items } = await api.get<Items<PlatformInfo>>('/v1/platforms')
  return choose('platform', text, items, ({ name }) => name)
}

export async function findRun(api: ApiClient, text: string): Promise<RunInfo> {
  if (isUuid(text)) return api.get<RunInfo>(`/v1/runs/${text}`)
  const { items } = await api.get<Items<RunInfo>>('/v1/runs?limit=500')
  return choose('run', text, items, () => undefined)
}

/** Ids by their beginning are looked for among that many of the newest points. */
const POINTS_SEARCHED = 2000

/** A point by id or its beginning; the name of a VM means its newest point. */
export async function findPoint(api: ApiClient, text: string): Promise<PointInfo> {
  const vms = (await api.list<VmInfo>('/v1/vms')).filter(({ id, name, points }) => points > 0 && (id === text || name === text))
  if (vms.length > 1) throw new CliError('AMBIGUOUS', `${vms.length} VMs are named ${text}; give the id of the point`)
  const [newest] = vms[0] === undefined ? [] : await api.list<PointInfo>(`/v1/vms/${vms[0].id}/points?limit=1`, 1)
  if (newest !== undefined) return newest
  if (isUuid(text)) return api.get<PointInfo>(`/v1/points/${text}`)
  return choose('restore point', text, await api.list<PointInfo>('/v1/points?limit=1000', POINTS_SEARCHED), () => undefined)
}

function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)
}
