import type { Sql } from '../database.ts'

/**
 * What must hold of the rows of some VMs after whatever was done (DESIGN.md sections 2 and 6): each a question for rows that break it. They say nothing
 * of the order of calls, so they hold also where the model is wrong.
 */
const BROKEN: Readonly<Record<string, string>> = {
  'a sealed point has all its ranges and a root for each image, of a run that succeeded': `
    select p.id from varve.restore_points p join mine r on r.id = p.run_id
     where r.outcome <> 'succeeded' or p.checkpoint_id is distinct from r.checkpoint_id or p.vm_id <> r.vm_id
        or exists (select 1 from varve.ranges g where g.run_id = r.id and g.state <> 'done')
        or not exists (select 1 from varve.images i where i.run_id = r.id)
        or exists (select 1 from varve.images i where i.run_id = r.id and not exists (
             select 1 from varve.restore_point_images x where x.image_id = i.id and x.restore_point_id = p.id))`,
  'what a point says of its images is what their rows say': `
    select p.id from varve.restore_points p join mine r on r.id = p.run_id
     where p.images is distinct from varve.point_images(p.id)`,
  'a backup that succeeded has its point, one that did not has none': `
    select r.id from mine r left join varve.restore_points p on p.run_id = r.id
     where r.kind = 'backup' and (r.outcome is not distinct from 'succeeded') <> (p.id is not null)`,
  'the parent of a point is a sealed one of the same VM, and its chain too': `
    select p.id from varve.restore_points p join mine r on r.id = p.run_id
      left join varve.restore_points q on q.id = p.parent_id join varve.chains c on c.id = p.chain_id
     where (p.parent_id is not null and q.vm_id is distinct from p.vm_id) or c.vm_id <> p.vm_id`,
  'parents and sources of images are sealed': `
    select i.id from varve.images i join mine r on r.id = i.run_id
     where exists (select 1 from unnest(array[i.parent_image_id, i.source_image_id]) as x (id)
       where x.id is not null and not exists (select 1 from varve.restore_point_images s where s.image_id = x.id))`,
  'the totals of an image are the sums over its ranges and their accepted reports': `
    select i.id from varve.images i join mine r on r.id = i.run_id
      left join lateral (select count(*) as n, coalesce(sum(bytes), 0) as bytes, count(*) filter (where state = 'done') as done,
          coalesce(sum(read), 0) as read, coalesce(sum(written), 0) as written, coalesce(sum(unchanged), 0) as unchanged,
          coalesce(sum(zero), 0) as zero from varve.ranges where image_id = i.id) g on true
     where (i.ranges_total, i.planned, i.ranges_done, i.read, i.written, i.unchanged, i.zero)
       is distinct from (g.n, g.bytes, g.done, g.read, g.written, g.unchanged, g.zero)`,
  'the objects of a range are those of the attempt that was accepted': `
    select g.id from varve.ranges g join mine r on r.id = g.run_id left join varve.attempts a on a.range_id = g.id and a.outcome = 'accepted'
     where (select coalesce(array_agg(key order by key), '{}') from varve.objects where range_id = g.id)
       is distinct from case when g.state = 'done'
         then array['maps/' || left(a.id, 2) || '/' || a.id || '00000001', 'packs/' || left(a.id, 2) || '/' || a.id || '00000000'] else '{}'::text[] end`,
  'one live run a VM': `
    select vm_id from mine where ended_at is null and (kind = 'backup' or options ->> 'target' = 'original') group by vm_id having count(*) > 1`,
  'only a run that is copying has open attempts, at ranges that are in the queue': `
    select a.id from varve.attempts a join mine r on r.id = a.run_id join varve.ranges g on g.id = a.range_id
     where a.ended_at is null and (r.state <> 'copying' or g.state <> 'queued')`,
  'a range is done by exactly one accepted attempt': `
    select g.id from varve.ranges g join mine r on r.id = g.run_id
     where (g.state = 'done')::integer <> (select count(*) from varve.attempts a where a.range_id = g.id and a.outcome = 'accepted')`,
  'at most a window of ranges is queued, and they are counted': `
    select r.id from mine r join lateral (select count(*) filter (where state = 'queued') as queued from varve.ranges where run_id = r.id) g on true
     where g.queued > $2 or g.queued <> (select coalesce(sum(ranges_queued), 0) from varve.images where run_id = r.id)`,
  'ranges are given out only from copying on': `
    select g.id from varve.ranges g join mine r on r.id = g.run_id where g.state <> 'planned' and r.planned_at is null`,
  'copying is over when nothing is left': `
    select r.id from mine r where r.state in ('copying', 'sealing')
       and (r.state = 'copying') <> exists (select 1 from varve.ranges g where g.run_id = r.id and g.state <> 'done')`,
  'a restore has damage when a range has': `
    select r.id from mine r where r.kind = 'restore' and r.outcome in ('succeeded', 'succeeded-with-damage')
       and (r.outcome = 'succeeded-with-damage') <> exists (select 1 from varve.ranges g where g.run_id = r.id and g.damage <> '[]')`,
  'a job is of the kind of its run and of a range of its run': `
    select o.id::text as id from varve.outbox o join mine r on r.id = o.run_id left join varve.ranges g on g.id = o.range_id
     where (o.range_id is not null and g.run_id is distinct from r.id)
        or o.job = any (case r.kind when 'backup' then array['prepare-restore', 'write-range'] else array['prepare-backup', 'read-range', 'seal-restore-point'] end)`,
  'a named snapshot has its name first': `select id from mine where snapshot_id is not null and snapshot_name is null`,
}

/** @returns what is broken, in words, with the ids of the rows */
export async function brokenInvariants(sql: Sql, vms: readonly string[], window: number): Promise<readonly string[]> {
  const broken: string[] = []
  for (const [words, question] of Object.entries(BROKEN)) {
    const { rows } = await sql.query<Record<string, string>>(
      `with mine as (select * from varve.runs where vm_id = any ($1::uuid[]) and $2::integer > 0) ${question}`,
      [vms, window],
    )
    if (rows.length > 0) broken.push(`${words}: not so for ${rows.map(row => Object.values(row)[0]).join(', ')}`)
  }
  return broken
}

/** What a pass of the dispatcher leaves behind: a run that waits although there is room. */
export async function waitingInVain(sql: Sql, vms: readonly string[], window: number): Promise<readonly string[]> {
  const { rows } = await sql.query<{ id: string }>(
    `select r.id from varve.runs r
       left join lateral (select count(*) filter (where state = 'queued') as queued, count(*) filter (where state = 'planned') as planned
         from varve.ranges where run_id = r.id) g on true
      where r.vm_id = any ($1) and r.ended_at is null and not r.paused
        and (r.released_at is null and r.state = 'queued' or r.state = 'copying' and g.planned > 0 and g.queued < $2)`,
    [vms, window],
  )
  return rows.map(row => row.id)
}

/** The jobs that the present steps of live runs need somebody to do, by their ids in the queue. */
export async function neededJobs(sql: Sql, vms: readonly string[]): Promise<readonly string[]> {
  const { rows } = await sql.query<{ job: string }>(
    `select r.id || '-' || case when r.state in ('queued', 'preparing') then 'prepare-' || r.kind when r.state = 'sealing' then 'seal-restore-point'
                                else 'finish-run' end as job
       from varve.runs r where r.vm_id = any ($1) and r.ended_at is null and r.state <> 'copying' and (r.state <> 'queued' or r.released_at is not null)
     union all
     select g.id::text || case when g.jobs = 1 then '' else '.' || (g.jobs - 1) end from varve.ranges g join varve.runs r on r.id = g.run_id where r.vm_id = any ($1) and r.state = 'copying' and g.state = 'queued'`,
    [vms],
  )
  return rows.map(row => row.job)
}
