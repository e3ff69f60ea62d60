-- Up Migration

-- Words: DESIGN.md. Sizes are bytes. No row per block: the largest table has a row per range (about 256 MiB to read).

create table varve.platforms (
  id uuid primary key default gen_random_uuid(),
  name text not null unique,
  kind text not null check (kind in ('scp')),
  url text not null,
  credentials jsonb not null,
  created_at timestamptz not null default now()
);

create table varve.vms (
  id uuid primary key default gen_random_uuid(),
  platform_id uuid not null references varve.platforms on delete cascade,
  platform_vm_id text not null,
  name text not null,
  power text not null,
  exclusions text[] not null default '{}',
  -- No longer listed by its platform; its points remain.
  gone boolean not null default false,
  seen_at timestamptz not null default now(),
  unique (platform_id, platform_vm_id)
);

create table varve.disks (
  vm_id uuid not null references varve.vms on delete cascade,
  disk_id text not null,
  position integer not null,
  size bigint not null check (size >= 0),
  excluded text,
  primary key (vm_id, disk_id)
);

create table varve.chains (
  id uuid primary key default gen_random_uuid(),
  vm_id uuid not null references varve.vms,
  created_at timestamptz not null default now()
);

create table varve.runs (
  id uuid primary key default gen_random_uuid(),
  kind text not null check (kind in ('backup', 'restore')),
  vm_id uuid not null references varve.vms,
  platform_id uuid not null references varve.platforms,
  state text not null default 'queued' check (state in
    ('queued', 'preparing', 'copying', 'sealing', 'finishing', 'succeeded', 'succeeded-with-damage', 'failed', 'cancelled')),
  outcome text check (outcome in ('succeeded', 'succeeded-with-damage', 'failed', 'cancelled')),
  reason text,
  message text,
  options jsonb not null,
  notes text[] not null default '{}' check (cardinality(notes) <= 200),
  cancel_requested boolean not null default false,
  -- Restore: the point it restores. (A backup's own point refers to its run.)
  source_point_id uuid,
  target_platform_vm_id text,
  -- What must be cleaned up afterwards, recorded before it is created.
  snapshot_name text,
  snapshot_id text,
  lease_id text,
  created_vm_id text,
  checkpoint_id text check (checkpoint_id ~ '^[0-9]{1,20}$'),
  config jsonb,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  planned_at timestamptz,
  ended_at timestamptz,
  -- The last sign of life of the step under way; the reconciler goes by it.
  touched_at timestamptz not null default now(),
  constraint runs_outcome_when_finishing check (
    (outcome is not null) = (state in ('finishing', 'succeeded', 'succeeded-with-damage', 'failed', 'cancelled'))),
  constraint runs_end_is_outcome check (state in ('queued', 'preparing', 'copying', 'sealing', 'finishing') or state = outcome),
  constraint runs_ended_at check ((ended_at is not null) = (state in ('succeeded', 'succeeded-with-damage', 'failed', 'cancelled'))),
  constraint runs_source_of_restore check ((kind = 'restore') = (source_point_id is not null)),
  constraint runs_only_backups_seal check (kind = 'backup' or state <> 'sealing'),
  constraint runs_only_restores_have_damage check (kind = 'restore' or outcome is distinct from 'succeeded-with-damage'),
  constraint runs_failure_has_reason check (outcome is distinct from 'failed' or reason is not null)
);
-- One run at a time works on a VM: they would fight for snapshot and lease. A restore to a new VM does not touch it.
create unique index runs_one_active_per_vm on varve.runs (vm_id)
  where state in ('queued', 'preparing', 'copying', 'sealing', 'finishing') and (kind = 'backup' or options ->> 'target' = 'original');
-- Not by touched_at: an indexed column would make each sign of life an index write.
create index runs_active on varve.runs (created_at) where state in ('queued', 'preparing', 'copying', 'sealing', 'finishing');
create index runs_by_time on varve.runs (created_at desc);
create index runs_by_vm on varve.runs (vm_id, created_at desc);

create table varve.images (
  id uuid primary key default gen_random_uuid(),
  run_id uuid not null references varve.runs,
  position integer not null,
  disk_id text not null,
  disk_size bigint not null check (disk_size >= 0),
  block_size integer not null check (block_size > 0),
  kind text not null check (kind in ('full', 'incremental')),
  reason text,
  parent_image_id uuid,
  source_image_id uuid,
  cbt boolean not null,
  -- Sums over its ranges, kept up when a range is added or completed.
  planned bigint not null default 0,
  read bigint not null default 0,
  written bigint not null default 0,
  unchanged bigint not null default 0,
  zero bigint not null default 0,
  ranges_total integer not null default 0,
  ranges_done integer not null default 0,
  unique (run_id, disk_id),
  unique (run_id, id),
  constraint images_ranges_done check (ranges_done between 0 and ranges_total),
  constraint images_incremental_has_parent check ((kind = 'incremental') = (parent_image_id is not null))
);

create table varve.ranges (
  id uuid primary key default gen_random_uuid(),
  run_id uuid not null,
  image_id uuid not null,
  index integer not null check (index >= 0),
  first_page integer not null check (first_page >= 0),
  page_count integer not null check (page_count > 0),
  -- [offset, length, offset, length, ...]
  extents jsonb not null check (jsonb_typeof(extents) = 'array' and jsonb_array_length(extents) % 2 = 0 and jsonb_array_length(extents) <= 32768),
  bytes bigint not null check (bytes >= 0),
  state text not null default 'planned' check (state in ('planned', 'queued', 'done', 'failed')),
  -- For the eye only; the figures below count.
  progress_read bigint not null default 0,
  progress_written bigint not null default 0,
  touched_at timestamptz not null default now(),
  read bigint,
  written bigint,
  unchanged bigint,
  zero bigint,
  pages bytea check (octet_length(pages) <= 4194304),
  damage jsonb,
  time_source_ms integer,
  time_cpu_ms integer,
  time_store_ms integer,
  -- SHA-256 of the accepted report: the same one again is the same answer.
  report_hash bytea,
  done_at timestamptz,
  unique (image_id, index),
  foreign key (run_id, image_id) references varve.images (run_id, id),
  constraint ranges_done_has_report check (
    (state = 'done') = (read is not null and written is not null and unchanged is not null and zero is not null
      and pages is not null and damage is not null and report_hash is not null and done_at is not null))
);
create index ranges_planned on varve.ranges (run_id, index, image_id) where state = 'planned';
create index ranges_queued on varve.ranges (run_id) where state = 'queued';

-- Packs and maps that accepted reports named: what is in the repository and not here is unaccounted for.
create table varve.objects (
  range_id uuid not null references varve.ranges,
  run_id uuid not null references varve.runs,
  key text not null,
  size bigint not null check (size >= 0),
  kind text not null check (kind in ('pack', 'map')),
  primary key (range_id, key)
);
create index objects_by_run on varve.objects (run_id);
create index objects_by_key on varve.objects (key);

-- A row is a sealed point; there are no others.
create table varve.restore_points (
  id uuid primary key,
  vm_id uuid not null references varve.vms,
  run_id uuid not null unique references varve.runs,
  chain_id uuid not null references varve.chains,
  parent_id uuid references varve.restore_points,
  created_at timestamptz not null,
  sealed_at timestamptz not null default clock_timestamp(),
  checkpoint_id text not null check (checkpoint_id ~ '^[0-9]{1,20}$'),
  manifest_key text not null,
  stored bigint not null check (stored >= 0)
);
create index restore_points_by_vm on varve.restore_points (vm_id, sealed_at desc);

create table varve.restore_point_images (
  image_id uuid primary key references varve.images,
  restore_point_id uuid not null references varve.restore_points,
  root_key text not null check (root_key <> ''),
  merkle_root text not null check (merkle_root <> ''),
  cbt boolean not null
);
create index restore_point_images_by_point on varve.restore_point_images (restore_point_id);

-- CBT versions: where the next changed-areas query of a disk may start from.
create table varve.checkpoints (
  restore_point_id uuid not null references varve.restore_points,
  disk_id text not null,
  checkpoint_id text not null check (checkpoint_id ~ '^[0-9]{1,20}$'),
  primary key (restore_point_id, disk_id)
);

-- Only images of sealed points are parents or sources.
alter table varve.images
  add constraint images_parent_is_sealed foreign key (parent_image_id) references varve.restore_point_images (image_id),
  add constraint images_source_is_sealed foreign key (source_image_id) references varve.restore_point_images (image_id);
alter table varve.runs
  add constraint runs_source_is_sealed foreign key (source_point_id) references varve.restore_points (id);

create table varve.idempotency_keys (
  kind text not null check (kind in ('backup', 'restore')),
  key text not null,
  request jsonb not null,
  run_id uuid not null references varve.runs,
  created_at timestamptz not null default now(),
  primary key (kind, key)
);

-- Jobs to add to the queue, written in the transaction that made them due, deleted once the queue has them.
create table varve.outbox (
  id bigint generated always as identity primary key,
  job text not null check (job in
    ('prepare-backup', 'read-range', 'seal-restore-point', 'prepare-restore', 'write-range', 'finish-run')),
  run_id uuid not null references varve.runs,
  range_id uuid references varve.ranges,
  claimed_until timestamptz not null default '-infinity',
  created_at timestamptz not null default now(),
  constraint outbox_range_of_range_jobs check ((range_id is not null) = (job in ('read-range', 'write-range')))
);
create index outbox_by_run on varve.outbox (run_id);

-- queued -> preparing -> copying -> sealing -> finishing -> outcome; finishing can come early.
create function varve.check_run_transition() returns trigger language plpgsql as $$
begin
  if old.state = new.state then
    if old.outcome is distinct from new.outcome then
      raise exception 'the outcome of run % is settled', old.id using errcode = 'check_violation';
    end if;
    return new;
  end if;
  if not (
    (old.state = 'queued' and new.state in ('preparing', 'finishing'))
    or (old.state = 'preparing' and new.state in ('copying', 'sealing', 'finishing'))
    or (old.state = 'copying' and new.state in ('sealing', 'finishing'))
    or (old.state = 'sealing' and new.state = 'finishing')
    or (old.state = 'finishing' and new.state = old.outcome and new.outcome = old.outcome)
  ) then
    raise exception 'run % cannot go from % to %', old.id, old.state, new.state using errcode = 'check_violation';
  end if;
  return new;
end $$;
create trigger runs_transition before update on varve.runs
  for each row execute function varve.check_run_transition();

-- Checked at commit, when the point's images are in: every disk of the run has its root, every range is done, and the run is a backup
-- that is being sealed into this point.
create function varve.check_point_complete() returns trigger language plpgsql as $$
begin
  if not exists (select 1 from varve.images where run_id = new.run_id)
    or exists (select 1 from varve.images i where i.run_id = new.run_id and not exists (
      select 1 from varve.restore_point_images p where p.image_id = i.id and p.restore_point_id = new.id))
    or exists (select 1 from varve.images where run_id = new.run_id and ranges_done <> ranges_total)
    or exists (select 1 from varve.restore_point_images p join varve.images i on i.id = p.image_id
      where p.restore_point_id = new.id and i.run_id <> new.run_id)
  then
    raise exception 'restore point % is not complete', new.id using errcode = 'check_violation';
  end if;
  if not exists (select 1 from varve.runs r where r.id = new.run_id and r.kind = 'backup' and r.vm_id = new.vm_id
    and r.outcome = 'succeeded') then
    raise exception 'restore point % does not belong to a successful backup of its VM', new.id using errcode = 'check_violation';
  end if;
  return null;
end $$;
create constraint trigger restore_points_complete after insert on varve.restore_points
  deferrable initially deferred for each row execute function varve.check_point_complete();

-- A backup succeeds only by sealing a point.
create function varve.check_success_is_sealed() returns trigger language plpgsql as $$
begin
  if not exists (select 1 from varve.restore_points where run_id = new.id) then
    raise exception 'backup % has no restore point', new.id using errcode = 'check_violation';
  end if;
  return null;
end $$;
create constraint trigger runs_success_is_sealed after insert or update on varve.runs
  deferrable initially deferred for each row when (new.kind = 'backup' and new.outcome = 'succeeded')
  execute function varve.check_success_is_sealed();

create function varve.notify_outbox() returns trigger language plpgsql as $$
begin
  perform pg_notify('varve_outbox', '');
  return null;
end $$;
create trigger outbox_notify after insert on varve.outbox for each statement execute function varve.notify_outbox();

create function varve.notify_run() returns trigger language plpgsql as $$
begin
  perform pg_notify('varve_changes', new.id::text);
  return null;
end $$;
create trigger runs_notify after insert or update on varve.runs for each row execute function varve.notify_run();
