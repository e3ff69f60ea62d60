-- Up Migration

-- Whoever takes a resource of a run away strikes it off, so that what is recorded is what exists. The lease's id is kept apart: a check asks the platform
-- whether it is really gone.
alter table varve.runs add column last_lease_id text check (length(last_lease_id) <= 1024);

create function varve.keep_last_lease() returns trigger language plpgsql as $$
begin
  if old.lease_id is not null and new.lease_id is distinct from old.lease_id then
    new.last_lease_id = old.lease_id;
  end if;
  return new;
end $$;
create trigger runs_keep_last_lease before update of lease_id on varve.runs
  for each row execute function varve.keep_last_lease();

-- Their clean-up was done, only not struck off.
update varve.runs set snapshot_name = null, snapshot_id = null, lease_id = null, created_vm_id = null
 where ended_at is not null
   and (snapshot_name is not null or snapshot_id is not null or lease_id is not null or created_vm_id is not null);

-- The VM of a restore that succeeded is the user's: it is the target, and no longer a resource.
alter table varve.runs add constraint runs_end_owns_nothing
  check (ended_at is null or (snapshot_name is null and snapshot_id is null and lease_id is null and created_vm_id is null));

create index runs_by_end on varve.runs (ended_at) where ended_at is not null;
create index runs_without_point on varve.runs (id) where ended_at is not null and outcome in ('failed', 'cancelled') and kind = 'backup';

-- Heard of after it was swept.
create index attempts_to_sweep_again on varve.attempts (run_id) where swept_at < touched_at;

-- Made by the maintenance service itself; however many instances there are, one at a time is open.
alter table varve.checks add column periodic boolean not null default false;
create unique index checks_one_periodic_open on varve.checks (periodic) where periodic and state in ('queued', 'running');
