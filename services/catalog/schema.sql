-- The result of all migrations; written by the test schema.test.ts with VARVE_UPDATE_SCHEMA=1.

create table varve.attempts (
  id text not null,
  range_id uuid not null,
  run_id uuid not null,
  worker text not null,
  started_at timestamp with time zone not null default now(),
  touched_at timestamp with time zone not null default now(),
  ended_at timestamp with time zone,
  outcome text,
  swept_at timestamp with time zone,
  constraint attempts_accepted_stay CHECK (((swept_at IS NULL) OR ((outcome IS NOT NULL) AND (outcome <> 'accepted'::text)))),
  constraint attempts_end_has_outcome CHECK (((ended_at IS NULL) = (outcome IS NULL))),
  constraint attempts_id_check CHECK ((id ~ '^[0-9a-f]{24}$'::text)),
  constraint attempts_outcome_check CHECK ((outcome = ANY (ARRAY['accepted'::text, 'refused'::text, 'failed'::text, 'handed-back'::text, 'lost'::text]))),
  constraint attempts_worker_check CHECK (((length(worker) >= 1) AND (length(worker) <= 200))),
  constraint attempts_range_id_fkey FOREIGN KEY (range_id) REFERENCES ranges(id),
  constraint attempts_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id),
  constraint attempts_pkey PRIMARY KEY (id)
);

CREATE INDEX attempts_by_range ON varve.attempts USING btree (range_id);

CREATE INDEX attempts_by_run ON varve.attempts USING btree (run_id);

CREATE INDEX attempts_open ON varve.attempts USING btree (range_id) WHERE (ended_at IS NULL);

CREATE INDEX attempts_to_sweep ON varve.attempts USING btree (run_id) WHERE ((swept_at IS NULL) AND (outcome IS DISTINCT FROM 'accepted'::text));

CREATE INDEX attempts_to_sweep_again ON varve.attempts USING btree (run_id) WHERE (swept_at < touched_at);

CREATE UNIQUE INDEX attempts_accepted ON varve.attempts USING btree (range_id) WHERE (outcome = 'accepted'::text);

CREATE CONSTRAINT TRIGGER attempts_accepted_is_done AFTER INSERT OR UPDATE OF outcome ON varve.attempts DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((new.outcome = 'accepted'::text)) EXECUTE FUNCTION check_attempt_accepted();

CREATE TRIGGER attempts_outcome_stays BEFORE UPDATE ON varve.attempts FOR EACH ROW WHEN (((old.outcome IS NOT NULL) AND ((old.outcome IS DISTINCT FROM new.outcome) OR (old.ended_at IS DISTINCT FROM new.ended_at)))) EXECUTE FUNCTION refuse_change();

CREATE TRIGGER attempts_stay BEFORE UPDATE OF id, range_id, run_id, worker, started_at ON varve.attempts FOR EACH ROW EXECUTE FUNCTION refuse_change();

create table varve.chains (
  id uuid not null default gen_random_uuid(),
  vm_id uuid not null,
  created_at timestamp with time zone not null default now(),
  constraint chains_vm_id_fkey FOREIGN KEY (vm_id) REFERENCES vms(id),
  constraint chains_pkey PRIMARY KEY (id)
);

create table varve.checks (
  id uuid not null default gen_random_uuid(),
  scope text not null,
  sweep boolean not null,
  state text not null default 'queued'::text,
  worker text,
  created_at timestamp with time zone not null default now(),
  touched_at timestamp with time zone not null default now(),
  ended_at timestamp with time zone,
  progress jsonb not null default '{}'::jsonb,
  findings jsonb,
  summary jsonb,
  reason text,
  message text,
  periodic boolean not null default false,
  constraint checks_done_has_findings CHECK (((state <> 'done'::text) OR ((findings IS NOT NULL) AND (summary IS NOT NULL)))),
  constraint checks_end CHECK (((ended_at IS NOT NULL) = (state = ANY (ARRAY['done'::text, 'failed'::text])))),
  constraint checks_failure_has_reason CHECK (((state <> 'failed'::text) OR (reason IS NOT NULL))),
  constraint checks_findings_check CHECK ((jsonb_typeof(findings) = 'array'::text)),
  constraint checks_scope_check CHECK ((scope = ANY (ARRAY['leaks'::text, 'all'::text]))),
  constraint checks_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'running'::text, 'done'::text, 'failed'::text]))),
  constraint checks_worker_check CHECK ((length(worker) <= 200)),
  constraint checks_pkey PRIMARY KEY (id)
);

CREATE INDEX checks_by_time ON varve.checks USING btree (scope, created_at DESC);

CREATE INDEX checks_open ON varve.checks USING btree (created_at) WHERE (state = ANY (ARRAY['queued'::text, 'running'::text]));

CREATE UNIQUE INDEX checks_one_periodic_open ON varve.checks USING btree (periodic) WHERE (periodic AND (state = ANY (ARRAY['queued'::text, 'running'::text])));

CREATE TRIGGER checks_ended_stay BEFORE UPDATE ON varve.checks FOR EACH ROW WHEN ((old.ended_at IS NOT NULL)) EXECUTE FUNCTION refuse_change();

CREATE TRIGGER checks_request_stays BEFORE UPDATE OF id, scope, sweep, created_at ON varve.checks FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER checks_transition BEFORE UPDATE ON varve.checks FOR EACH ROW WHEN ((old.state <> new.state)) EXECUTE FUNCTION check_check_transition();

create table varve.disks (
  vm_id uuid not null,
  disk_id text not null,
  "position" integer not null,
  size bigint not null,
  excluded text,
  datastore_id text,
  constraint disks_datastore_id_check CHECK ((length(datastore_id) <= 200)),
  constraint disks_size_check CHECK ((size >= 0)),
  constraint disks_vm_id_fkey FOREIGN KEY (vm_id) REFERENCES vms(id) ON DELETE CASCADE,
  constraint disks_pkey PRIMARY KEY (vm_id, disk_id)
);

create table varve.idempotency_keys (
  kind text not null,
  key text not null,
  request jsonb not null,
  run_id uuid not null,
  created_at timestamp with time zone not null default now(),
  constraint idempotency_keys_kind_check CHECK ((kind = ANY (ARRAY['backup'::text, 'restore'::text, 'preview'::text]))),
  constraint idempotency_keys_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id),
  constraint idempotency_keys_pkey PRIMARY KEY (kind, key)
);

CREATE INDEX idempotency_keys_by_time ON varve.idempotency_keys USING btree (created_at);

create table varve.images (
  id uuid not null default gen_random_uuid(),
  run_id uuid not null,
  "position" integer not null,
  disk_id text not null,
  disk_size bigint not null,
  block_size integer not null,
  kind text not null,
  reason text,
  parent_image_id uuid,
  source_image_id uuid,
  cbt boolean not null,
  planned bigint not null default 0,
  read bigint not null default 0,
  written bigint not null default 0,
  unchanged bigint not null default 0,
  zero bigint not null default 0,
  ranges_total integer not null default 0,
  ranges_done integer not null default 0,
  since text,
  datastore_id text,
  ranges_queued integer not null default 0,
  time_source_ms bigint not null default 0,
  time_throttle_ms bigint not null default 0,
  time_cpu_ms bigint not null default 0,
  time_store_ms bigint not null default 0,
  objects integer not null default 0,
  constraint images_block_size_check CHECK ((block_size > 0)),
  constraint images_datastore_id_check CHECK ((length(datastore_id) <= 200)),
  constraint images_disk_size_check CHECK ((disk_size >= 0)),
  constraint images_incremental_has_parent CHECK (((kind = 'incremental'::text) = (parent_image_id IS NOT NULL))),
  constraint images_kind_check CHECK ((kind = ANY (ARRAY['full'::text, 'incremental'::text]))),
  constraint images_ranges_done CHECK (((ranges_done >= 0) AND (ranges_done <= ranges_total))),
  constraint images_ranges_queued CHECK (((ranges_queued >= 0) AND ((ranges_done + ranges_queued) <= ranges_total))),
  constraint images_since_check CHECK ((since ~ '^[0-9]{1,20}$'::text)),
  constraint images_parent_is_sealed FOREIGN KEY (parent_image_id) REFERENCES restore_point_images(image_id),
  constraint images_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id),
  constraint images_source_is_sealed FOREIGN KEY (source_image_id) REFERENCES restore_point_images(image_id),
  constraint images_pkey PRIMARY KEY (id),
  constraint images_run_id_disk_id_key UNIQUE (run_id, disk_id),
  constraint images_run_id_id_key UNIQUE (run_id, id)
);

CREATE TRIGGER images_added AFTER INSERT ON varve.images REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION check_plan_open();

CREATE TRIGGER images_plan_stays BEFORE UPDATE OF id, run_id, "position", disk_id, disk_size, block_size, kind, reason, parent_image_id, source_image_id, since, cbt ON varve.images FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER images_removed AFTER DELETE ON varve.images REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION check_plan_open();

CREATE TRIGGER images_totals BEFORE UPDATE OF planned, ranges_total, ranges_done, read, written, unchanged, zero ON varve.images FOR EACH ROW EXECUTE FUNCTION check_image_totals();

create table varve.objects (
  range_id uuid not null,
  run_id uuid not null,
  key text not null,
  size bigint not null,
  kind text not null,
  constraint objects_kind_check CHECK ((kind = ANY (ARRAY['pack'::text, 'map'::text]))),
  constraint objects_size_check CHECK ((size >= 0)),
  constraint objects_range_id_fkey FOREIGN KEY (range_id) REFERENCES ranges(id),
  constraint objects_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id),
  constraint objects_pkey PRIMARY KEY (range_id, key)
);

CREATE INDEX objects_by_run ON varve.objects USING btree (run_id);

create table varve.outbox (
  id bigint not null generated always as identity,
  job text not null,
  run_id uuid not null,
  range_id uuid,
  claimed_until timestamp with time zone not null default '-infinity'::timestamp with time zone,
  created_at timestamp with time zone not null default now(),
  number integer not null default 0,
  constraint outbox_job_check CHECK ((job = ANY (ARRAY['prepare-backup'::text, 'read-range'::text, 'seal-restore-point'::text, 'prepare-restore'::text, 'write-range'::text, 'finish-run'::text, 'prepare-preview'::text]))),
  constraint outbox_range_of_range_jobs CHECK (((range_id IS NOT NULL) = (job = ANY (ARRAY['read-range'::text, 'write-range'::text])))),
  constraint outbox_range_id_fkey FOREIGN KEY (range_id) REFERENCES ranges(id),
  constraint outbox_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id),
  constraint outbox_pkey PRIMARY KEY (id)
);

CREATE INDEX outbox_by_range ON varve.outbox USING btree (range_id) WHERE (range_id IS NOT NULL);

CREATE INDEX outbox_by_run ON varve.outbox USING btree (run_id);

CREATE TRIGGER outbox_notify AFTER INSERT ON varve.outbox FOR EACH STATEMENT EXECUTE FUNCTION notify_outbox();

create table varve.platforms (
  id uuid not null default gen_random_uuid(),
  name text not null,
  kind text not null,
  url text not null,
  credentials jsonb not null,
  created_at timestamp with time zone not null default now(),
  transport text,
  limits jsonb not null default '{}'::jsonb,
  pressure smallint not null default 0,
  pressure_at timestamp with time zone,
  pressure_reason text,
  constraint platforms_kind_check CHECK ((kind = 'scp'::text)),
  constraint platforms_limits_check CHECK ((jsonb_typeof(limits) = 'object'::text)),
  constraint platforms_pressure_check CHECK (((pressure >= 0) AND (pressure <= 6))),
  constraint platforms_pressure_has_reason CHECK (((pressure = 0) OR ((pressure_at IS NOT NULL) AND (pressure_reason IS NOT NULL)))),
  constraint platforms_pressure_reason_check CHECK ((pressure_reason = ANY (ARRAY['throttled'::text, 'slow'::text]))),
  constraint platforms_transport_check CHECK ((transport = ANY (ARRAY['nbd'::text, 'nbd_ssl'::text]))),
  constraint platforms_pkey PRIMARY KEY (id),
  constraint platforms_name_key UNIQUE (name)
);

CREATE TRIGGER platforms_dispatch AFTER UPDATE OF limits, pressure ON varve.platforms FOR EACH ROW WHEN (((old.limits <> new.limits) OR (old.pressure <> new.pressure))) EXECUTE FUNCTION notify_dispatch('runs');

create table varve.prices (
  only_one boolean not null default true,
  prices jsonb not null,
  constraint prices_only_one_check CHECK (only_one),
  constraint prices_prices_check CHECK ((jsonb_typeof(prices) = 'object'::text)),
  constraint prices_pkey PRIMARY KEY (only_one)
);

create table varve.ranges (
  id uuid not null default gen_random_uuid(),
  run_id uuid not null,
  image_id uuid not null,
  index integer not null,
  first_page integer not null,
  page_count integer not null,
  extents jsonb not null,
  bytes bigint not null,
  state text not null default 'planned'::text,
  progress_read bigint not null default 0,
  progress_written bigint not null default 0,
  touched_at timestamp with time zone not null default now(),
  read bigint,
  written bigint,
  unchanged bigint,
  zero bigint,
  pages bytea,
  damage jsonb,
  time_source_ms integer,
  time_cpu_ms integer,
  time_store_ms integer,
  report_hash bytea,
  done_at timestamp with time zone,
  jobs integer not null default 0,
  queued_at timestamp with time zone,
  extra_jobs smallint not null default 0,
  time_throttle_ms integer,
  constraint ranges_bytes_check CHECK ((bytes >= 0)),
  constraint ranges_done_has_report CHECK (((state = 'done'::text) = ((read IS NOT NULL) AND (written IS NOT NULL) AND (unchanged IS NOT NULL) AND (zero IS NOT NULL) AND (pages IS NOT NULL) AND (damage IS NOT NULL) AND (report_hash IS NOT NULL) AND (done_at IS NOT NULL)))),
  constraint ranges_extents_check CHECK (((jsonb_typeof(extents) = 'array'::text) AND ((jsonb_array_length(extents) % 2) = 0) AND (jsonb_array_length(extents) <= 32768))),
  constraint ranges_extra_jobs_check CHECK (((extra_jobs >= 0) AND (extra_jobs <= 2))),
  constraint ranges_first_page_check CHECK ((first_page >= 0)),
  constraint ranges_index_check CHECK ((index >= 0)),
  constraint ranges_page_count_check CHECK ((page_count > 0)),
  constraint ranges_pages_check CHECK ((octet_length(pages) <= 4194304)),
  constraint ranges_queued_has_job CHECK (((state <> 'queued'::text) OR ((jobs > 0) AND (queued_at IS NOT NULL)))),
  constraint ranges_state_check CHECK ((state = ANY (ARRAY['planned'::text, 'queued'::text, 'done'::text, 'failed'::text]))),
  constraint ranges_run_id_image_id_fkey FOREIGN KEY (run_id, image_id) REFERENCES images(run_id, id),
  constraint ranges_pkey PRIMARY KEY (id),
  constraint ranges_image_id_index_key UNIQUE (image_id, index)
);

CREATE INDEX ranges_planned ON varve.ranges USING btree (image_id, index) WHERE (state = 'planned'::text);

CREATE INDEX ranges_queued ON varve.ranges USING btree (run_id) WHERE (state = 'queued'::text);

CREATE TRIGGER ranges_added AFTER INSERT ON varve.ranges REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION check_plan_open();

CREATE TRIGGER ranges_done_stays BEFORE UPDATE ON varve.ranges FOR EACH ROW WHEN ((old.state = 'done'::text)) EXECUTE FUNCTION refuse_change();

CREATE TRIGGER ranges_plan_stays BEFORE UPDATE OF id, run_id, image_id, index, first_page, page_count, extents, bytes ON varve.ranges FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER ranges_removed AFTER DELETE ON varve.ranges REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION check_plan_open();

CREATE TRIGGER ranges_transition BEFORE UPDATE OF state ON varve.ranges FOR EACH ROW WHEN ((old.state <> new.state)) EXECUTE FUNCTION check_range_transition();

create table varve.restore_point_images (
  image_id uuid not null,
  restore_point_id uuid not null,
  root_key text not null,
  merkle_root text not null,
  cbt boolean not null,
  constraint restore_point_images_merkle_root_check CHECK ((merkle_root <> ''::text)),
  constraint restore_point_images_root_key_check CHECK ((root_key <> ''::text)),
  constraint restore_point_images_image_id_fkey FOREIGN KEY (image_id) REFERENCES images(id),
  constraint restore_point_images_restore_point_id_fkey FOREIGN KEY (restore_point_id) REFERENCES restore_points(id),
  constraint restore_point_images_pkey PRIMARY KEY (image_id)
);

CREATE INDEX restore_point_images_by_point ON varve.restore_point_images USING btree (restore_point_id);

create table varve.restore_points (
  id uuid not null,
  vm_id uuid not null,
  run_id uuid not null,
  chain_id uuid not null,
  parent_id uuid,
  created_at timestamp(3) with time zone not null,
  sealed_at timestamp with time zone not null default clock_timestamp(),
  checkpoint_id text not null,
  manifest_key text not null,
  stored bigint not null,
  images jsonb,
  constraint restore_points_checkpoint_id_check CHECK ((checkpoint_id ~ '^[0-9]{1,20}$'::text)),
  constraint restore_points_images_check CHECK ((jsonb_typeof(images) = 'array'::text)),
  constraint restore_points_stored_check CHECK ((stored >= 0)),
  constraint restore_points_chain_id_fkey FOREIGN KEY (chain_id) REFERENCES chains(id),
  constraint restore_points_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES restore_points(id),
  constraint restore_points_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id),
  constraint restore_points_vm_id_fkey FOREIGN KEY (vm_id) REFERENCES vms(id),
  constraint restore_points_pkey PRIMARY KEY (id),
  constraint restore_points_run_id_key UNIQUE (run_id) INCLUDE (id)
);

CREATE INDEX restore_points_by_time ON varve.restore_points USING btree (created_at DESC, id DESC);

CREATE INDEX restore_points_by_vm ON varve.restore_points USING btree (vm_id, sealed_at DESC);

CREATE INDEX restore_points_by_vm_time ON varve.restore_points USING btree (vm_id, created_at DESC, id DESC);

CREATE CONSTRAINT TRIGGER restore_points_complete AFTER INSERT ON varve.restore_points DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_point_complete();

CREATE CONSTRAINT TRIGGER restore_points_copy_images AFTER INSERT ON varve.restore_points DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION copy_point_images();

CREATE TRIGGER restore_points_counted AFTER INSERT OR DELETE ON varve.restore_points FOR EACH ROW EXECUTE FUNCTION count_points();

CREATE TRIGGER restore_points_images_stay BEFORE UPDATE OF images ON varve.restore_points FOR EACH ROW WHEN ((old.images IS NOT NULL)) EXECUTE FUNCTION refuse_change();

create table varve.run_attempts (
  run_id uuid not null,
  attempt_ids bytea not null,
  constraint run_attempts_attempt_ids_check CHECK (((octet_length(attempt_ids) % 12) = 0)),
  constraint run_attempts_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id),
  constraint run_attempts_pkey PRIMARY KEY (run_id)
);

create table varve.runs (
  id uuid not null default gen_random_uuid(),
  kind text not null,
  vm_id uuid not null,
  platform_id uuid not null,
  state text not null default 'queued'::text,
  outcome text,
  reason text,
  message text,
  options jsonb not null,
  notes text[] not null default '{}'::text[],
  cancel_requested boolean not null default false,
  source_point_id uuid,
  target_platform_vm_id text,
  snapshot_name text,
  snapshot_id text,
  lease_id text,
  created_vm_id text,
  checkpoint_id text,
  created_at timestamp(3) with time zone not null default now(),
  started_at timestamp with time zone,
  planned_at timestamp with time zone,
  ended_at timestamp with time zone,
  touched_at timestamp with time zone not null default now(),
  paused boolean not null default false,
  priority text not null default 'normal'::text,
  released_at timestamp with time zone,
  host_id text,
  lease_token text,
  last_lease_id text,
  config_hash bytea,
  compacted_at timestamp with time zone,
  prediction jsonb,
  copied_at timestamp with time zone,
  constraint runs_checkpoint_id_check CHECK ((checkpoint_id ~ '^[0-9]{1,20}$'::text)),
  constraint runs_end_is_outcome CHECK (((state = ANY (ARRAY['queued'::text, 'preparing'::text, 'copying'::text, 'sealing'::text, 'finishing'::text])) OR (state = outcome))),
  constraint runs_end_owns_nothing CHECK (((ended_at IS NULL) OR ((snapshot_name IS NULL) AND (snapshot_id IS NULL) AND (lease_id IS NULL) AND (created_vm_id IS NULL)))),
  constraint runs_ended_at CHECK (((ended_at IS NOT NULL) = (state = ANY (ARRAY['succeeded'::text, 'succeeded-with-damage'::text, 'failed'::text, 'cancelled'::text])))),
  constraint runs_failure_has_reason CHECK (((outcome IS DISTINCT FROM 'failed'::text) OR (reason IS NOT NULL))),
  constraint runs_host_id_check CHECK ((length(host_id) <= 200)),
  constraint runs_kind_check CHECK ((kind = ANY (ARRAY['backup'::text, 'restore'::text, 'preview'::text]))),
  constraint runs_last_lease_id_check CHECK ((length(last_lease_id) <= 1024)),
  constraint runs_lease_token_check CHECK ((length(lease_token) <= 100)),
  constraint runs_notes_check CHECK ((cardinality(notes) <= 200)),
  constraint runs_only_backups_seal CHECK (((kind = 'backup'::text) OR (state <> 'sealing'::text))),
  constraint runs_only_ended_are_compacted CHECK (((compacted_at IS NULL) OR (ended_at IS NOT NULL))),
  constraint runs_only_restores_have_damage CHECK (((kind = 'restore'::text) OR (outcome IS DISTINCT FROM 'succeeded-with-damage'::text))),
  constraint runs_outcome_check CHECK ((outcome = ANY (ARRAY['succeeded'::text, 'succeeded-with-damage'::text, 'failed'::text, 'cancelled'::text]))),
  constraint runs_outcome_when_finishing CHECK (((outcome IS NOT NULL) = (state = ANY (ARRAY['finishing'::text, 'succeeded'::text, 'succeeded-with-damage'::text, 'failed'::text, 'cancelled'::text])))),
  constraint runs_prediction_check CHECK ((jsonb_typeof(prediction) = 'object'::text)),
  constraint runs_preview_predicts CHECK (((kind <> 'preview'::text) OR (outcome IS DISTINCT FROM 'succeeded'::text) OR (prediction IS NOT NULL))),
  constraint runs_previews_copy_nothing CHECK (((kind <> 'preview'::text) OR (state <> ALL (ARRAY['copying'::text, 'sealing'::text])))),
  constraint runs_priority_check CHECK ((priority = ANY (ARRAY['low'::text, 'normal'::text, 'high'::text]))),
  constraint runs_source_of_restore CHECK ((((kind = 'restore'::text) OR ((kind = 'preview'::text) AND ((options ->> 'of'::text) = 'restore'::text))) = (source_point_id IS NOT NULL))),
  constraint runs_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'preparing'::text, 'copying'::text, 'sealing'::text, 'finishing'::text, 'succeeded'::text, 'succeeded-with-damage'::text, 'failed'::text, 'cancelled'::text]))),
  constraint runs_config_hash_fkey FOREIGN KEY (config_hash) REFERENCES vm_configs(hash),
  constraint runs_platform_id_fkey FOREIGN KEY (platform_id) REFERENCES platforms(id),
  constraint runs_source_is_sealed FOREIGN KEY (source_point_id) REFERENCES restore_points(id),
  constraint runs_vm_id_fkey FOREIGN KEY (vm_id) REFERENCES vms(id),
  constraint runs_pkey PRIMARY KEY (id)
);

CREATE INDEX runs_active ON varve.runs USING btree (created_at) WHERE (state = ANY (ARRAY['queued'::text, 'preparing'::text, 'copying'::text, 'sealing'::text, 'finishing'::text]));

CREATE INDEX runs_by_end ON varve.runs USING btree (ended_at) WHERE (ended_at IS NOT NULL);

CREATE INDEX runs_by_time ON varve.runs USING btree (created_at DESC, id DESC);

CREATE INDEX runs_by_vm ON varve.runs USING btree (vm_id, created_at DESC, id DESC);

CREATE INDEX runs_open ON varve.runs USING btree (created_at DESC, id DESC) WHERE (ended_at IS NULL);

CREATE INDEX runs_released ON varve.runs USING btree (platform_id) WHERE ((released_at IS NOT NULL) AND (ended_at IS NULL));

CREATE INDEX runs_restores ON varve.runs USING btree (created_at DESC, id DESC) WHERE (kind = 'restore'::text);

CREATE INDEX runs_to_compact ON varve.runs USING btree (ended_at) WHERE ((ended_at IS NOT NULL) AND (compacted_at IS NULL));

CREATE INDEX runs_waiting ON varve.runs USING btree (platform_id, priority, created_at) WHERE ((released_at IS NULL) AND (ended_at IS NULL));

CREATE INDEX runs_without_point ON varve.runs USING btree (id) WHERE ((ended_at IS NOT NULL) AND (outcome = ANY (ARRAY['failed'::text, 'cancelled'::text])) AND (kind = 'backup'::text));

CREATE UNIQUE INDEX runs_one_active_per_vm ON varve.runs USING btree (vm_id) WHERE ((state = ANY (ARRAY['queued'::text, 'preparing'::text, 'copying'::text, 'sealing'::text, 'finishing'::text])) AND ((kind = 'backup'::text) OR ((options ->> 'target'::text) = 'original'::text) OR ((options ->> 'of'::text) = 'backup'::text)));

CREATE TRIGGER runs_dispatch AFTER UPDATE OF state, paused, priority ON varve.runs FOR EACH ROW WHEN (((old.state <> new.state) OR (old.paused <> new.paused) OR (old.priority <> new.priority))) EXECUTE FUNCTION notify_dispatch('runs');

CREATE TRIGGER runs_dispatch_added AFTER INSERT ON varve.runs FOR EACH ROW EXECUTE FUNCTION notify_dispatch('runs');

CREATE TRIGGER runs_keep_last_lease BEFORE UPDATE OF lease_id ON varve.runs FOR EACH ROW EXECUTE FUNCTION keep_last_lease();

CREATE TRIGGER runs_notify AFTER INSERT OR UPDATE OF state, outcome, notes, cancel_requested, paused, priority, released_at, target_platform_vm_id ON varve.runs FOR EACH ROW EXECUTE FUNCTION notify_run();

CREATE TRIGGER runs_prediction_stays BEFORE UPDATE OF prediction ON varve.runs FOR EACH ROW WHEN (((old.prediction IS NOT NULL) AND (old.prediction IS DISTINCT FROM new.prediction))) EXECUTE FUNCTION refuse_change();

CREATE TRIGGER runs_request_stays BEFORE UPDATE OF id, kind, vm_id, platform_id, options, source_point_id ON varve.runs FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER runs_resources BEFORE UPDATE ON varve.runs FOR EACH ROW WHEN (((old.lease_id IS DISTINCT FROM new.lease_id) OR (old.snapshot_id IS DISTINCT FROM new.snapshot_id) OR (old.snapshot_name IS DISTINCT FROM new.snapshot_name) OR (old.created_vm_id IS DISTINCT FROM new.created_vm_id))) EXECUTE FUNCTION check_run_resources();

CREATE TRIGGER runs_snapshot_record BEFORE UPDATE OF checkpoint_id, target_platform_vm_id ON varve.runs FOR EACH ROW EXECUTE FUNCTION check_run_snapshot_record();

CREATE CONSTRAINT TRIGGER runs_success_is_sealed AFTER INSERT OR UPDATE ON varve.runs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (((new.kind = 'backup'::text) AND (new.outcome = 'succeeded'::text))) EXECUTE FUNCTION check_success_is_sealed();

CREATE TRIGGER runs_transition BEFORE UPDATE ON varve.runs FOR EACH ROW WHEN (((old.state <> new.state) OR (old.outcome IS DISTINCT FROM new.outcome) OR (old.reason IS DISTINCT FROM new.reason) OR (old.message IS DISTINCT FROM new.message) OR (old.planned_at IS DISTINCT FROM new.planned_at) OR (old.cancel_requested <> new.cancel_requested))) EXECUTE FUNCTION check_run_transition();

create table varve.vm_configs (
  hash bytea not null,
  config jsonb not null,
  constraint vm_configs_hash_check CHECK ((octet_length(hash) = 32)),
  constraint vm_configs_pkey PRIMARY KEY (hash)
);

create table varve.vms (
  id uuid not null default gen_random_uuid(),
  platform_id uuid not null,
  platform_vm_id text not null,
  name text not null,
  power text not null,
  exclusions text[] not null default '{}'::text[],
  gone boolean not null default false,
  seen_at timestamp with time zone not null default now(),
  host_id text,
  points integer not null default 0,
  last_point_id uuid,
  last_point_at timestamp(3) with time zone,
  constraint vms_host_id_check CHECK ((length(host_id) <= 200)),
  constraint vms_points_check CHECK ((points >= 0)),
  constraint vms_platform_id_fkey FOREIGN KEY (platform_id) REFERENCES platforms(id) ON DELETE CASCADE,
  constraint vms_pkey PRIMARY KEY (id),
  constraint vms_platform_id_platform_vm_id_key UNIQUE (platform_id, platform_vm_id)
);

CREATE INDEX vms_by_name ON varve.vms USING btree (name, id);

CREATE OR REPLACE FUNCTION varve.check_attempt_accepted()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if not exists (select 1 from varve.ranges where id = new.range_id and run_id = new.run_id and state = 'done') then
    raise exception 'attempt % is accepted, its range is not done', new.id using errcode = 'check_violation';
  end if;
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION varve.check_check_transition()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if old.state = 'queued' and new.state = 'running' or old.state = 'running' and new.state in ('done', 'failed') then return new; end if;
  raise exception 'check % cannot go from % to %', old.id, old.state, new.state using errcode = 'check_violation';
end $function$
;

CREATE OR REPLACE FUNCTION varve.check_image_totals()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
end $function$
;

CREATE OR REPLACE FUNCTION varve.check_plan_open()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
declare
  found varve.runs;
begin
  select r.* into found from (select distinct run_id from changed) c join varve.runs r on r.id = c.run_id
   where r.state in ('queued', 'copying', 'sealing', 'finishing') limit 1;
  if found.id is not null then
    raise exception 'run % is %: its plan neither grows nor goes', found.id, found.state using errcode = 'check_violation';
  end if;
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION varve.check_point_complete()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
end $function$
;

CREATE OR REPLACE FUNCTION varve.check_range_transition()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if old.state = 'planned' and new.state = 'queued' or old.state = 'queued' and new.state = 'done' then return new; end if;
  -- Handed back: given out again when the run goes on.
  if old.state = 'queued' and new.state = 'planned' and exists (select 1 from varve.runs where id = new.run_id and paused) then return new; end if;
  raise exception 'range % cannot go from % to %', old.id, old.state, new.state using errcode = 'check_violation';
end $function$
;

CREATE OR REPLACE FUNCTION varve.check_run_resources()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
end $function$
;

CREATE OR REPLACE FUNCTION varve.check_run_snapshot_record()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if new.state <> 'preparing' and (new.checkpoint_id, new.target_platform_vm_id)
    is distinct from (old.checkpoint_id, old.target_platform_vm_id) then
    raise exception 'run % is %: what was recorded of its snapshot and target stays', old.id, new.state using errcode = 'check_violation';
  end if;
  return new;
end $function$
;

CREATE OR REPLACE FUNCTION varve.check_run_transition()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
end $function$
;

CREATE OR REPLACE FUNCTION varve.check_success_is_sealed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if not exists (select 1 from varve.restore_points where run_id = new.id) then
    raise exception 'backup % has no restore point', new.id using errcode = 'check_violation';
  end if;
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION varve.copy_point_images()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  update varve.restore_points set images = varve.point_images(id) where id = new.id and images is null;
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION varve.count_points()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
declare
  of_vm uuid := case tg_op when 'INSERT' then new.vm_id else old.vm_id end;
begin
  update varve.vms v set points = points + case tg_op when 'INSERT' then 1 else -1 end, (last_point_id, last_point_at) = (
      select p.id, p.created_at from varve.restore_points p where p.vm_id = of_vm order by p.sealed_at desc limit 1)
   where v.id = of_vm;
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION varve.keep_last_lease()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if old.lease_id is not null and new.lease_id is distinct from old.lease_id then
    new.last_lease_id = old.lease_id;
  end if;
  return new;
end $function$
;

CREATE OR REPLACE FUNCTION varve.notify_dispatch()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  perform pg_notify('varve_dispatch', tg_argv[0]);
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION varve.notify_outbox()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  perform pg_notify('varve_outbox', '');
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION varve.notify_run()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  perform pg_notify('varve_changes', new.id::text);
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION varve.point_images(point_id uuid)
 RETURNS jsonb
 LANGUAGE sql
 STABLE
AS $function$
  select jsonb_agg(jsonb_build_object('imageId', i.id, 'diskId', i.disk_id, 'diskSize', i.disk_size, 'blockSize', i.block_size, 'kind', i.kind,
                                      'reason', i.reason, 'read', i.read, 'stored', i.written, 'cbt', s.cbt) order by i.position)
    from varve.restore_point_images s join varve.images i on i.id = s.image_id where s.restore_point_id = point_id
$function$
;

CREATE OR REPLACE FUNCTION varve.refuse_change()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  raise exception 'a row of % cannot change so (%)', tg_table_name, tg_name using errcode = 'check_violation';
end $function$
;
