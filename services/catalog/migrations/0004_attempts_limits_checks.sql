-- Up Migration

-- Every try at a range, recorded before its first object is written. The id is how the ids of all packs and maps of that try begin, so that
-- what a try left behind that never reported, or reported too late, can be listed and told from everything else.
create table varve.attempts (
  id text primary key check (id ~ '^[0-9a-f]{24}$'),
  range_id uuid not null references varve.ranges,
  run_id uuid not null references varve.runs,
  worker text not null check (length(worker) between 1 and 200),
  started_at timestamptz not null default now(),
  -- The last sign of life of this very try.
  touched_at timestamptz not null default now(),
  ended_at timestamptz,
  -- accepted: its report is the range's. refused: it reported too late. lost: it gave no sign of life, or its run ended without it.
  outcome text check (outcome in ('accepted', 'refused', 'failed', 'handed-back', 'lost')),
  -- When what it left in the repository was taken away.
  swept_at timestamptz,
  constraint attempts_end_has_outcome check ((ended_at is null) = (outcome is null)),
  constraint attempts_accepted_stay check (swept_at is null or (outcome is not null and outcome <> 'accepted'))
);
create unique index attempts_accepted on varve.attempts (range_id) where outcome = 'accepted';
create index attempts_open on varve.attempts (range_id) where ended_at is null;
create index attempts_to_sweep on varve.attempts (run_id) where swept_at is null and outcome is distinct from 'accepted';

alter table varve.runs
  -- No range is given out while it is true; what is under way is handed back.
  add column paused boolean not null default false,
  add column priority text not null default 'normal' check (priority in ('low', 'normal', 'high')),
  -- When its first job was given out; until then it waits for a place on its platform and host.
  add column released_at timestamptz,
  -- The host its VM was on when it was released.
  add column host_id text check (length(host_id) <= 200),
  -- Token under which its lease is asked for, noted before: the same token gives the same lease again.
  add column lease_token text check (length(lease_token) <= 100);
-- Under way already.
update varve.runs set released_at = created_at;

alter table varve.vms add column host_id text check (length(host_id) <= 200);
alter table varve.disks add column datastore_id text check (length(datastore_id) <= 200);
alter table varve.images add column datastore_id text check (length(datastore_id) <= 200);

alter table varve.platforms
  -- What the user set; what is absent has its default. { runs, runsPerHost, openDisksPerHost, openDisksPerDatastore, bytesPerSecond }
  add column limits jsonb not null default '{}' check (jsonb_typeof(limits) = 'object'),
  -- Limits are halved this many times, because the platform asked to wait or answered slowly.
  add column pressure smallint not null default 0 check (pressure between 0 and 6),
  add column pressure_at timestamptz,
  add column pressure_reason text check (pressure_reason in ('throttled', 'slow')),
  add constraint platforms_pressure_has_reason check (pressure = 0 or (pressure_at is not null and pressure_reason is not null));

-- A look at whether the invariants hold (`all`) or only at what is owned by nobody (`leaks`), done by the maintenance service.
create table varve.checks (
  id uuid primary key default gen_random_uuid(),
  scope text not null check (scope in ('leaks', 'all')),
  -- Take away what is owned by nobody.
  sweep boolean not null,
  state text not null default 'queued' check (state in ('queued', 'running', 'done', 'failed')),
  worker text check (length(worker) <= 200),
  created_at timestamptz not null default now(),
  touched_at timestamptz not null default now(),
  ended_at timestamptz,
  progress jsonb not null default '{}',
  -- Findings, at most 10,000; the summary counts all.
  findings jsonb check (jsonb_typeof(findings) = 'array'),
  summary jsonb,
  reason text,
  message text,
  constraint checks_end check ((ended_at is not null) = (state in ('done', 'failed'))),
  constraint checks_done_has_findings check (state <> 'done' or (findings is not null and summary is not null)),
  constraint checks_failure_has_reason check (state <> 'failed' or reason is not null)
);
create index checks_open on varve.checks (created_at) where state in ('queued', 'running');
create index checks_by_time on varve.checks (scope, created_at desc);
