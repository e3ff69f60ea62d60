-- Up Migration

-- A transaction that notifies holds a lock of the whole server until it is durable: with one notification in every report no two reports were ever
-- written to disk together. The instance that took the report wakes its own dispatcher, and tells of runs that moved from time to time (run-signals.ts).
drop trigger images_dispatch on varve.images;

-- Only of what users see of a run, not of each sign of life of its step.
drop trigger runs_notify on varve.runs;
create trigger runs_notify after insert or update of state, outcome, notes, cancel_requested, paused, priority, released_at, target_platform_vm_id
  on varve.runs for each row execute function varve.notify_run();
