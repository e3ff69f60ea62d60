import { createHash } from 'node:crypto'
import type pg from 'pg'
import { bulkLoad } from './bulk-load.ts'

/**
 * A year of nightly backups of VMs with two disks each, as the catalog has them once they are compacted. Every hundredth backup failed and left a run
 * without a point.
 */
export interface Year {
  readonly days: number
  /** Ranges of a run: so many accepted attempts are remembered of it. */
  readonly ranges: number
}

/** Ids follow from what they name, so that nothing has to be looked up to know them. `vm` is the number in its platform's id of it. */
export function idOf(what: 'run' | 'point' | 'image', vm: number, day: number, disk = 0): string {
  const hex = createHash('md5').update(`${what} ${vm} ${day} ${disk}`).digest('hex')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

export const failedOn = (vm: number, day: number): boolean => (vm * 7 + day) % 100 === 99

/** Fill the catalog of VMs that `reportVms` brought. @returns seconds */
export async function fillYear(databaseUrl: string, { days, ranges }: Year, note: (line: string) => void): Promise<number> {
  const began = performance.now()
  await bulkLoad(databaseUrl, note, async ([first, second]) => {
    await first!.query(VMS)
    const fill = async (client: pg.Client, tables: readonly string[]): Promise<void> => {
      for (let day = 1; day <= days; day++) {
        for (const table of tables) await client.query(TABLES[table]!, [day, days, ranges])
        if (day % 50 === 0) note(`day ${day} of ${tables.join(', ')}`)
      }
    }
    await Promise.all([fill(first!, ['runs', 'restore_points', 'run_attempts']), fill(second!, ['images', 'restore_point_images'])])
    await first!.query(COUNTS)
    await first!.query('drop schema scale cascade')
  })
  return (performance.now() - began) / 1000
}

const VMS = `
  create schema scale;
  create table scale.vms as
    select id as vm_id, substring(platform_vm_id from '[0-9]+$')::integer as v, platform_id, md5('chain ' || id)::uuid as chain_id,
           sha256(convert_to(platform_vm_id, 'UTF8')) as config_hash from varve.vms order by 2;
  insert into varve.chains (id, vm_id) select chain_id, vm_id from scale.vms;
  insert into varve.vm_configs (hash, config)
    select config_hash, jsonb_build_object('name', 'vm ' || v, 'cpu', v % 8 + 1, 'disks', (select jsonb_agg(jsonb_build_object('id', n, 'path', md5(n || ' ' || v)))
      from generate_series(1, 20) n)) from scale.vms`

const COUNTS = `
  update varve.vms v set points = p.points, last_point_id = p.last_point_id, last_point_at = p.last_point_at
    from (select vm_id, count(*) as points, (array_agg(id order by sealed_at desc))[1] as last_point_id, max(created_at) as last_point_at
            from varve.restore_points group by vm_id) p where p.vm_id = v.id`

const id = (what: string, day = 'd', disk = '0'): string => `md5('${what} ' || v || ' ' || ${day} || ' ' || ${disk})::uuid`
/** Backups begin between ten at night and four in the morning. */
const AT = `(date_trunc('day', now()) - make_interval(days => days - d + 1) + make_interval(secs => 3600 * 22 + (v * 7919 % 21600)))`
const NIGHT = `scale.vms cross join (select $1::integer as d, $2::integer as days, $3::integer as ranges) as day`
const OK = `(v * 7 + d) % 100 <> 99`
/** The last day before this one whose backup succeeded. */
const BEFORE = `(case when (v * 7 + d - 1) % 100 = 99 then d - 2 else d - 1 end)`
const HAS_PARENT = `(${BEFORE} >= 1)`

/** One night's rows of each table, in the order of its backups as they come to be. $1 day, $2 days in all, $3 ranges. */
const TABLES: Readonly<Record<string, string>> = {
  runs: `
    insert into varve.runs (id, kind, vm_id, platform_id, state, outcome, reason, message, options, checkpoint_id, config_hash, created_at, started_at,
      planned_at, ended_at, touched_at, released_at, compacted_at)
    select ${id('run')}, 'backup', vm_id, platform_id, case when ${OK} then 'succeeded' else 'failed' end, case when ${OK} then 'succeeded' else 'failed' end,
      case when not ${OK} then 'LEASE_OCCUPIED' end, case when not ${OK} then 'another application has the VM' end, '{}', (4294967296 + d)::text, config_hash,
      at, at + interval '2 seconds', at + interval '9 seconds', at + interval '4 minutes', at + interval '4 minutes', at, at + interval '1 day'
    from ${NIGHT} cross join lateral (select ${AT} as at) t order by at`,
  images: `
    insert into varve.images (id, run_id, position, disk_id, disk_size, block_size, kind, reason, parent_image_id, since, cbt, planned, read, written,
      unchanged, zero, ranges_total, ranges_done)
    select ${id('image', 'd', 'disk')}, ${id('run')}, disk + 1, 'virtio' || disk, (1 + v % 64) * 17179869184, 262144,
      case when ${HAS_PARENT} then 'incremental' else 'full' end, case when not ${HAS_PARENT} then 'first' end,
      case when ${HAS_PARENT} then ${id('image', BEFORE, 'disk')} end, case when ${HAS_PARENT} then (4294967296 + ${BEFORE})::text end, true,
      3000000000, 3000000000, 900000000 + v, 400000000, 300000000, (ranges + 1) / 2, case when ${OK} then (ranges + 1) / 2 else 0 end
    from ${NIGHT} cross join generate_series(0, 1) as disk order by ${AT}, disk`,
  restore_points: `
    insert into varve.restore_points (id, vm_id, run_id, chain_id, parent_id, created_at, sealed_at, checkpoint_id, manifest_key, stored, images)
    select ${id('point')}, vm_id, ${id('run')}, chain_id, case when ${HAS_PARENT} then ${id('point', BEFORE)} end, at + interval '2 seconds',
      at + interval '3 minutes', (4294967296 + d)::text,
      'points/' || vm_id || '/' || to_char(at, 'YYYYMMDD"T"HH24MISS.MS"Z"') || '-' || ${id('point')} || '.json', 1800000000 + 2 * v,
      (select jsonb_agg(jsonb_build_object('imageId', ${id('image', 'd', 'disk')}, 'diskId', 'virtio' || disk, 'diskSize', (1 + v % 64) * 17179869184,
        'blockSize', 262144, 'kind', case when ${HAS_PARENT} then 'incremental' else 'full' end, 'reason', case when not ${HAS_PARENT} then 'first' end,
        'read', 3000000000, 'stored', 900000000 + v, 'cbt', true) order by disk) from generate_series(0, 1) as disk)
    from ${NIGHT} cross join lateral (select ${AT} as at) t where ${OK} order by at`,
  restore_point_images: `
    insert into varve.restore_point_images (image_id, restore_point_id, root_key, merkle_root, cbt)
    select image, ${id('point')}, 'images/' || image || '.root', encode(sha256(convert_to(image::text, 'UTF8')), 'hex'), true
    from ${NIGHT} cross join generate_series(0, 1) as disk cross join lateral (select ${id('image', 'd', 'disk')} as image) i where ${OK} order by ${AT}, disk`,
  // Not compressed, so it need not be random to be as long as the real ones.
  run_attempts: `
    insert into varve.run_attempts (run_id, attempt_ids)
    select ${id('run')}, substring(decode(repeat(md5(v || ' ' || d), ranges * 12 / 16 + 1), 'hex') for ranges * 12) from ${NIGHT} where ${OK}`,
}
