import { CatalogError, type NewPlatform, type Platform, type PlatformLimits, type PlatformWithCredentials } from '@varve/catalog-client'
import { brokenConstraint, type Database } from './database.ts'
import { limitsOf } from './limits.ts'
import { pressureAt, type StoredPressure } from './pressure.ts'

interface PlatformRow extends StoredPressure {
  id: string
  name: string
  kind: 'scp'
  url: string
  transport: Platform['transport'] | null
  credentials: PlatformWithCredentials['credentials']
  created_at: string
  limits: Partial<PlatformLimits>
  now: string
}

const COLUMNS = '*, clock_timestamp() as now'

/** The same platform again is the one that is there; its name with anything else different is CONFLICT. */
export async function addPlatform(db: Database, platform: NewPlatform): Promise<Platform> {
  return db.transaction(async sql => {
    const values = [platform.name, platform.kind, platform.url, JSON.stringify(platform.credentials), platform.transport ?? null]
    const added = await sql.query<PlatformRow>(
      `insert into varve.platforms (name, kind, url, credentials, transport) values ($1, $2, $3, $4, $5) on conflict (name) do nothing returning ${COLUMNS}`,
      values,
    )
    if (added.rows[0] !== undefined) return toPlatform(added.rows[0])
    const { rows } = await sql.query<PlatformRow>(
      `select ${COLUMNS} from varve.platforms where name = $1 and kind = $2 and url = $3 and credentials = $4::jsonb
         and transport is not distinct from $5`,
      values,
    )
    if (rows[0] === undefined)
      throw new CatalogError('CONFLICT', `there is already a platform named ${platform.name}`, { name: platform.name })
    return toPlatform(rows[0])
  })
}

export async function listPlatforms(db: Database): Promise<Platform[]> {
  const { rows } = await db.query<PlatformRow>(`select ${COLUMNS} from varve.platforms order by name limit 1000`)
  return rows.map(toPlatform)
}

export async function getPlatform(db: Database, id: string): Promise<PlatformWithCredentials> {
  const { rows } = await db.query<PlatformRow>(`select ${COLUMNS} from varve.platforms where id = $1`, [id])
  const row = rows[0]
  if (row === undefined) throw new CatalogError('NOT_FOUND', `there is no platform ${id}`, { platformId: id })
  return { ...toPlatform(row), credentials: row.credentials }
}

/** Only what is given changes. */
export async function setPlatformLimits(db: Database, id: string, limits: Partial<PlatformLimits>): Promise<Platform> {
  const { rows } = await db.query<PlatformRow>(
    `update varve.platforms set limits = limits || $2::jsonb where id = $1 returning ${COLUMNS}`,
    [id, JSON.stringify(limits)],
  )
  if (rows[0] === undefined) throw new CatalogError('NOT_FOUND', `there is no platform ${id}`, { platformId: id })
  return toPlatform(rows[0])
}

/** With its VMs, as long as none of them has runs. One that is gone already is fine. */
export async function deletePlatform(db: Database, id: string): Promise<void> {
  try {
    await db.query(`delete from varve.platforms where id = $1`, [id])
  } catch (error) {
    if (brokenConstraint(error) === null) throw error
    throw new CatalogError('CONFLICT', 'the platform has VMs with backups; it cannot be deleted', { platformId: id }, { cause: error })
  }
}

function toPlatform(row: PlatformRow): Platform {
  const { id, name, kind, url, transport, created_at } = row
  return {
    id,
    name,
    kind,
    url,
    ...(transport === null ? {} : { transport }),
    createdAt: created_at,
    limits: limitsOf(row.limits),
    pressure: pressureAt(row, row.now),
  }
}
