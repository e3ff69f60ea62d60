-- Up Migration

-- Waited because the connection to the platform has a limit of bytes a second.
alter table varve.ranges add column time_throttle_ms integer;

-- Sums over the ranges that are done, like the bytes: what a run waits for is told without reading all its ranges.
alter table varve.images
  add column time_source_ms bigint not null default 0,
  add column time_throttle_ms bigint not null default 0,
  add column time_cpu_ms bigint not null default 0,
  add column time_store_ms bigint not null default 0;
update varve.images i set time_source_ms = g.source, time_cpu_ms = g.cpu, time_store_ms = g.store
  from (select image_id, coalesce(sum(time_source_ms), 0) as source, coalesce(sum(time_cpu_ms), 0) as cpu, coalesce(sum(time_store_ms), 0) as store
          from varve.ranges where state = 'done' group by image_id) g
 where g.image_id = i.id;
