-- Up Migration

-- What a year of nightly backups of 10,000 VMs needs: lists that are read along an index, and rows of ended runs that shrink to what is
-- still asked for. Figures: docs/scale.md.

-- Kept as points come and go: counting and looking for the newest at each look costs as much as there are points.
alter table varve.vms
  add column points integer not null default 0 check (points >= 0),
  add column last_point_id uuid,
  add column last_point_at timestamptz(3);
update varve.vms v set points = (select count(*) from varve.restore_points p where p.vm_id = v.id);
update varve.vms v set last_point_id = p.id, last_point_at = p.created_at
  from (select distinct on (vm_id) vm_id, id, created_at from varve.restore_points order by vm_id, sealed_at desc) p where p.vm_id = v.id;
create function varve.count_points() returns trigger language plpgsql as $$
declare
  of_vm uuid := case tg_op when 'INSERT' then new.vm_id else old.vm_id end;
begin
  update varve.vms v set points = points + case tg_op when 'INSERT' then 1 else -1 end, (last_point_id, last_point_at) = (
      select p.id, p.created_at from varve.restore_points p where p.vm_id = of_vm order by p.sealed_at desc limit 1)
   where v.id = of_vm;
  return null;
end $$;
create trigger restore_points_counted after insert or delete on varve.restore_points
  for each row execute function varve.count_points();

-- A VM's configuration hardly ever changes: stored once, however many points have it. By the hash of the text that jsonb makes of it.
create table varve.vm_configs (
  hash bytea primary key check (octet_length(hash) = 32),
  config jsonb not null
);
alter table varve.runs add column config_hash bytea references varve.vm_configs;
insert into varve.vm_configs (hash, config)
  select distinct on (1) sha256(convert_to(config::text, 'UTF8')), config from varve.runs where config is not null;
update varve.runs set config_hash = sha256(convert_to(config::text, 'UTF8')) where config is not null;
alter table varve.runs drop column config;

-- Never read: the checkpoint is the point's, and which disks it is good for is said by their images (cbt).
drop table varve.checkpoints;

-- Lists are read page by page along these; the id decides between equal times. To the millisecond, as times leave the catalog, so that the
-- place of the last row of a page is known from its answer.
alter table varve.runs alter column created_at type timestamptz(3);
alter table varve.restore_points alter column created_at type timestamptz(3);
create index restore_points_by_time on varve.restore_points (created_at desc, id desc);
drop index varve.runs_by_time;
create index runs_by_time on varve.runs (created_at desc, id desc);
drop index varve.runs_by_vm;
create index runs_by_vm on varve.runs (vm_id, created_at desc, id desc);
create index runs_restores on varve.runs (created_at desc, id desc) where kind = 'restore';
create index runs_open on varve.runs (created_at desc, id desc) where ended_at is null;
create index vms_by_name on varve.vms (name, id);

-- The end of a run with its ranges: nothing needs them any more. What its accepted attempts wrote is still the repository's, so their ids
-- stay, 12 bytes each.
alter table varve.runs add column compacted_at timestamptz
  constraint runs_only_ended_are_compacted check (compacted_at is null or ended_at is not null);
create index runs_to_compact on varve.runs (ended_at) where ended_at is not null and compacted_at is null;
create table varve.run_attempts (
  run_id uuid primary key references varve.runs,
  attempt_ids bytea not null check (octet_length(attempt_ids) % 12 = 0)
);
-- Random bytes do not compress.
alter table varve.run_attempts alter column attempt_ids set storage external;
-- For the foreign keys: without them the end of a range reads all attempts.
create index attempts_by_range on varve.attempts (range_id);
create index attempts_by_run on varve.attempts (run_id);
create index outbox_by_range on varve.outbox (range_id) where range_id is not null;
create index idempotency_keys_by_time on varve.idempotency_keys (created_at);

-- Objects are found by run and by range only. An index of random keys is the dearest there is.
drop index varve.objects_by_key;
