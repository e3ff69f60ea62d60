-- Up Migration

-- A preview plans a backup or a restore and copies nothing. It is a run, because what it makes on the platform must be accounted for like that of any other:
-- queued -> preparing -> finishing -> its outcome.
alter table varve.runs drop constraint runs_kind_check;
alter table varve.runs add constraint runs_kind_check check (kind in ('backup', 'restore', 'preview'));
alter table varve.runs drop constraint runs_source_of_restore;
alter table varve.runs add constraint runs_source_of_restore check (
  (kind = 'restore' or (kind = 'preview' and options ->> 'of' = 'restore')) = (source_point_id is not null));
alter table varve.runs add constraint runs_previews_copy_nothing check (kind <> 'preview' or state not in ('copying', 'sealing'));

alter table varve.runs
  -- What the run was expected to read, store and take when it was planned; of a preview its result.
  add column prediction jsonb check (jsonb_typeof(prediction) = 'object'),
  -- When its last range was done.
  add column copied_at timestamptz;
alter table varve.runs add constraint runs_preview_predicts check (kind <> 'preview' or outcome is distinct from 'succeeded' or prediction is not null);
create trigger runs_prediction_stays before update of prediction on varve.runs for each row
  when (old.prediction is not null and old.prediction is distinct from new.prediction)
  execute function varve.refuse_change();

-- A preview of a backup takes a snapshot and a lease like one.
drop index varve.runs_one_active_per_vm;
create unique index runs_one_active_per_vm on varve.runs (vm_id)
  where state in ('queued', 'preparing', 'copying', 'sealing', 'finishing')
    and (kind = 'backup' or options ->> 'target' = 'original' or options ->> 'of' = 'backup');

alter table varve.idempotency_keys drop constraint idempotency_keys_kind_check;
alter table varve.idempotency_keys add constraint idempotency_keys_kind_check check (kind in ('backup', 'restore', 'preview'));

alter table varve.outbox drop constraint outbox_job_check;
alter table varve.outbox add constraint outbox_job_check check (job in
  ('prepare-backup', 'read-range', 'seal-restore-point', 'prepare-restore', 'write-range', 'finish-run', 'prepare-preview'));

-- Packs and maps that its ranges stored; the rows that name them go when the run is compacted.
alter table varve.images add column objects integer not null default 0;
update varve.images i set objects = g.count
  from (select r.image_id, count(*) as count from varve.objects o join varve.ranges r on r.id = o.range_id group by r.image_id) g where g.image_id = i.id;

-- What the repository costs, as the user set it; no row: nothing is known.
create table varve.prices (
  only_one boolean primary key default true check (only_one),
  prices jsonb not null check (jsonb_typeof(prices) = 'object')
);
