-- Up Migration

-- The steps that DESIGN.md section 6 allows, refused here if the code should ever try another. Per row and mostly without a query: the conditions
-- of triggers (`when`, `update of`) are looked at before any function is called, so that a sign of life costs nothing more.

-- Runs ---------------------------------------------------------------------------------------------------------------------------------

create or replace function varve.check_run_transition() returns trigger language plpgsql as $$
begin
  if old.outcome is not null and (old.outcome, old.reason, old.message) is distinct from (new.outcome, new.reason, new.message) then
    raise exception 'the outcome of run % is settled', old.id using errcode = 'check_violation';
  end if;
  if old.planned_at is not null and new.planned_at is distinct from old.planned_at then
    raise exception 'run % is planned', old.id using errcode = 'check_violation';
  end if;
  if old.cancel_requested and not new.cancel_requested then
    raise exception 'a cancel of run % cannot be taken back', old.id using errcode = 'check_violation';
  end if;
  if old.state = new.state then return new; end if;
  if not (
    (old.state = 'queued' and new.state in ('preparing', 'finishing'))
    or (old.state = 'preparing' and new.state in ('copying', 'sealing', 'finishing'))
    or (old.state = 'copying' and new.state in ('sealing', 'finishing'))
    or (old.state = 'sealing' and new.state = 'finishing')
    or (old.state = 'finishing' and new.state = old.outcome and new.outcome = old.outcome)
  ) then
    raise exception 'run % cannot go from % to %', old.id, old.state, new.state using errcode = 'check_violation';
  end if;
  if new.state in ('copying', 'sealing') and new.planned_at is null then
    raise exception 'run % is not planned', old.id using errcode = 'check_violation';
  end if;
  return new;
end $$;
drop trigger runs_transition on varve.runs;
create trigger runs_transition before update on varve.runs for each row
  when (old.state <> new.state or old.outcome is distinct from new.outcome or old.reason is distinct from new.reason
    or old.message is distinct from new.message or old.planned_at is distinct from new.planned_at
    or old.cancel_requested <> new.cancel_requested)
  execute function varve.check_run_transition();

create function varve.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'a row of % cannot change so (%)', tg_table_name, tg_name using errcode = 'check_violation';
end $$;
create trigger runs_request_stays before update of id, kind, vm_id, platform_id, options, source_point_id on varve.runs
  for each row execute function varve.refuse_change();

-- What must be cleaned up: snapshot, lease, new VM. Recorded from preparing on, by a late preparer also while finishing, so that the
-- clean-up finds it; once the run has ended only struck off.
create function varve.check_run_resources() returns trigger language plpgsql as $$
begin
  if new.lease_id is distinct from old.lease_id and new.lease_id is not null
    and new.state not in ('preparing', 'copying', 'sealing', 'finishing') then
    raise exception 'run % takes no lease while it is %', old.id, new.state using errcode = 'check_violation';
  end if;
  if (new.snapshot_id is distinct from old.snapshot_id and new.snapshot_id is not null
      or new.snapshot_name is distinct from old.snapshot_name and new.snapshot_name is not null
      or new.created_vm_id is distinct from old.created_vm_id and new.created_vm_id is not null)
    and new.state not in ('preparing', 'finishing') then
    raise exception 'run % makes nothing while it is %', old.id, new.state using errcode = 'check_violation';
  end if;
  if new.snapshot_id is not null and new.snapshot_name is null then
    raise exception 'the name of the snapshot of run % is recorded before its id and struck off after it', old.id using errcode = 'check_violation';
  end if;
  -- Its plan was made from this snapshot; the new VM is what it writes to.
  if old.snapshot_id is not null and new.snapshot_id is null and new.state in ('queued', 'copying', 'sealing') then
    raise exception 'run % still needs its snapshot', old.id using errcode = 'check_violation';
  end if;
  if (old.snapshot_name is not null and new.snapshot_name is null or old.created_vm_id is not null and new.created_vm_id is null)
    and new.state in ('queued', 'preparing', 'copying', 'sealing') then
    raise exception 'run % still needs what it made', old.id using errcode = 'check_violation';
  end if;
  return new;
end $$;
create trigger runs_resources before update on varve.runs for each row
  when (old.lease_id is distinct from new.lease_id or old.snapshot_id is distinct from new.snapshot_id
    or old.snapshot_name is distinct from new.snapshot_name or old.created_vm_id is distinct from new.created_vm_id)
  execute function varve.check_run_resources();

create function varve.check_run_snapshot_record() returns trigger language plpgsql as $$
begin
  if new.state <> 'preparing' and (new.checkpoint_id, new.target_platform_vm_id)
    is distinct from (old.checkpoint_id, old.target_platform_vm_id) then
    raise exception 'run % is %: what was recorded of its snapshot and target stays', old.id, new.state using errcode = 'check_violation';
  end if;
  return new;
end $$;
create trigger runs_snapshot_record before update of checkpoint_id, target_platform_vm_id on varve.runs
  for each row execute function varve.check_run_snapshot_record();

-- Images and ranges: the plan ----------------------------------------------------------------------------------------------------------

-- One question a statement, not a row. A run that has ended may be written and removed in whole: its rows are history.
create function varve.check_plan_open() returns trigger language plpgsql as $$
declare
  found varve.runs;
begin
  select r.* into found from (select distinct run_id from changed) c join varve.runs r on r.id = c.run_id
   where r.state in ('queued', 'copying', 'sealing', 'finishing') limit 1;
  if found.id is not null then
    raise exception 'run % is %: its plan neither grows nor goes', found.id, found.state using errcode = 'check_violation';
  end if;
  return null;
end $$;
create trigger images_added after insert on varve.images referencing new table as changed
  for each statement execute function varve.check_plan_open();
create trigger images_removed after delete on varve.images referencing old table as changed
  for each statement execute function varve.check_plan_open();
create trigger ranges_added after insert on varve.ranges referencing new table as changed
  for each statement execute function varve.check_plan_open();
create trigger ranges_removed after delete on varve.ranges referencing old table as changed
  for each statement execute function varve.check_plan_open();

create trigger images_plan_stays
  before update of id, run_id, position, disk_id, disk_size, block_size, kind, reason, parent_image_id, source_image_id, since, cbt on varve.images
  for each row execute function varve.refuse_change();

-- What is planned grows while preparing, what is done while copying; after that both stay.
create function varve.check_image_totals() returns trigger language plpgsql as $$
declare
  run_state text;
begin
  if new.planned < old.planned or new.ranges_total < old.ranges_total or new.ranges_done < old.ranges_done
    or new.read < old.read or new.written < old.written or new.unchanged < old.unchanged or new.zero < old.zero then
    raise exception 'the totals of image % only grow', old.id using errcode = 'check_violation';
  end if;
  select state into run_state from varve.runs where id = new.run_id;
  if (new.planned, new.ranges_total) is distinct from (old.planned, old.ranges_total) and run_state <> 'preparing' then
    raise exception 'image % is planned', old.id using errcode = 'check_violation';
  end if;
  -- Of a run that failed what its unfinished ranges had got to is kept when they are removed.
  if (new.ranges_done, new.unchanged, new.zero) is distinct from (old.ranges_done, old.unchanged, old.zero) and run_state <> 'copying'
    or (new.read, new.written) is distinct from (old.read, old.written) and run_state not in ('copying', 'failed', 'cancelled') then
    raise exception 'the totals of image % are settled', old.id using errcode = 'check_violation';
  end if;
  return new;
end $$;
create trigger images_totals before update of planned, ranges_total, ranges_done, read, written, unchanged, zero on varve.images
  for each row execute function varve.check_image_totals();

create trigger ranges_plan_stays before update of id, run_id, image_id, index, first_page, page_count, extents, bytes on varve.ranges
  for each row execute function varve.refuse_change();

-- The first report wins.
create trigger ranges_done_stays before update on varve.ranges for each row when (old.state = 'done')
  execute function varve.refuse_change();

create function varve.check_range_transition() returns trigger language plpgsql as $$
begin
  if old.state = 'planned' and new.state = 'queued' or old.state = 'queued' and new.state = 'done' then return new; end if;
  -- Handed back: given out again when the run goes on.
  if old.state = 'queued' and new.state = 'planned' and exists (select 1 from varve.runs where id = new.run_id and paused) then return new; end if;
  raise exception 'range % cannot go from % to %', old.id, old.state, new.state using errcode = 'check_violation';
end $$;
create trigger ranges_transition before update of state on varve.ranges for each row when (old.state <> new.state)
  execute function varve.check_range_transition();

-- Attempts -----------------------------------------------------------------------------------------------------------------------------

create trigger attempts_stay before update of id, range_id, run_id, worker, started_at on varve.attempts
  for each row execute function varve.refuse_change();
-- One outcome, for good; what is left of it may still be swept, again after a late word of it.
create trigger attempts_outcome_stays before update on varve.attempts for each row
  when (old.outcome is not null and (old.outcome is distinct from new.outcome or old.ended_at is distinct from new.ended_at))
  execute function varve.refuse_change();

-- At commit: report and attempt are written in one transaction, in whatever order.
create function varve.check_attempt_accepted() returns trigger language plpgsql as $$
begin
  if not exists (select 1 from varve.ranges where id = new.range_id and run_id = new.run_id and state = 'done') then
    raise exception 'attempt % is accepted, its range is not done', new.id using errcode = 'check_violation';
  end if;
  return null;
end $$;
create constraint trigger attempts_accepted_is_done after insert or update of outcome on varve.attempts
  deferrable initially deferred for each row when (new.outcome = 'accepted')
  execute function varve.check_attempt_accepted();

-- Checks -------------------------------------------------------------------------------------------------------------------------------

create function varve.check_check_transition() returns trigger language plpgsql as $$
begin
  if old.state = 'queued' and new.state = 'running' or old.state = 'running' and new.state in ('done', 'failed') then return new; end if;
  raise exception 'check % cannot go from % to %', old.id, old.state, new.state using errcode = 'check_violation';
end $$;
create trigger checks_transition before update on varve.checks for each row when (old.state <> new.state)
  execute function varve.check_check_transition();
create trigger checks_ended_stay before update on varve.checks for each row when (old.ended_at is not null)
  execute function varve.refuse_change();
create trigger checks_request_stays before update of id, scope, sweep, created_at on varve.checks
  for each row execute function varve.refuse_change();
