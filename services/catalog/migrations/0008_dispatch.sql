-- Up Migration

-- What the dispatcher decides by is counted and not looked up: its passes cost as much as there are runs under way, however many ranges wait.
alter table varve.images add column ranges_queued integer not null default 0;
update varve.images i set ranges_queued = g.queued
  from (select image_id, count(*) as queued from varve.ranges where state = 'queued' group by image_id) g where g.image_id = i.id;
alter table varve.images add constraint images_ranges_queued check (ranges_queued >= 0 and ranges_done + ranges_queued <= ranges_total);

alter table varve.ranges
  -- Jobs given out for it; the first has the range's id, later ones a number behind it, so that the queue takes them for new ones.
  add column jobs integer not null default 0,
  -- When the last of them was given out.
  add column queued_at timestamptz,
  -- Jobs given out although somebody works on it, because that takes long.
  add column extra_jobs smallint not null default 0 check (extra_jobs between 0 and 2);
update varve.ranges set jobs = 1, queued_at = touched_at where state = 'queued';
alter table varve.ranges add constraint ranges_queued_has_job check (state <> 'queued' or (jobs > 0 and queued_at is not null));

-- Which job of a range it is.
alter table varve.outbox add column number integer not null default 0;

drop index varve.ranges_planned;
create index ranges_planned on varve.ranges (image_id, index) where state = 'planned';
create index runs_released on varve.runs (platform_id) where released_at is not null and ended_at is null;
create index runs_waiting on varve.runs (platform_id, priority, created_at) where released_at is null and ended_at is null;

-- Whatever makes room, or work, wakes the dispatcher: `runs` when a run may be given out, `ranges` when only ranges may.
create function varve.notify_dispatch() returns trigger language plpgsql as $$
begin
  perform pg_notify('varve_dispatch', tg_argv[0]);
  return null;
end $$;
create trigger runs_dispatch_added after insert on varve.runs for each row execute function varve.notify_dispatch('runs');
create trigger runs_dispatch after update of state, paused, priority on varve.runs for each row
  when (old.state <> new.state or old.paused <> new.paused or old.priority <> new.priority)
  execute function varve.notify_dispatch('runs');
create trigger images_dispatch after update of ranges_done on varve.images for each row
  when (old.ranges_done <> new.ranges_done) execute function varve.notify_dispatch('ranges');
create trigger platforms_dispatch after update of limits, pressure on varve.platforms for each row
  when (old.limits <> new.limits or old.pressure <> new.pressure) execute function varve.notify_dispatch('runs');
