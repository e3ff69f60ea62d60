-- Up Migration

-- A point is listed with its images, and never changes: what a list says of them stands in the point's own row. Looked up, the images of a year of one VM's
-- points lie in as many places of two tables as there were nights (docs/scale.md). Every point is written once more here: minutes for millions of them.
create function varve.point_images(point_id uuid) returns jsonb language sql stable as $$
  select jsonb_agg(jsonb_build_object('imageId', i.id, 'diskId', i.disk_id, 'diskSize', i.disk_size, 'blockSize', i.block_size, 'kind', i.kind,
                                      'reason', i.reason, 'read', i.read, 'stored', i.written, 'cbt', s.cbt) order by i.position)
    from varve.restore_point_images s join varve.images i on i.id = s.image_id where s.restore_point_id = point_id
$$;
alter table varve.restore_points add column images jsonb check (jsonb_typeof(images) = 'array');
update varve.restore_points set images = varve.point_images(id);
create trigger restore_points_images_stay before update of images on varve.restore_points for each row
  when (old.images is not null) execute function varve.refuse_change();

-- The database makes the copy itself, when the transaction that seals the point commits: who seals need not know of it, be it older than this.
create function varve.copy_point_images() returns trigger language plpgsql as $$
begin
  update varve.restore_points set images = varve.point_images(id) where id = new.id and images is null;
  return null;
end $$;
create constraint trigger restore_points_copy_images after insert on varve.restore_points deferrable initially deferred for each row
  execute function varve.copy_point_images();

-- A VM's list is read in its own order; "is there a point of this run" without the point.
create index restore_points_by_vm_time on varve.restore_points (vm_id, created_at desc, id desc);
alter table varve.restore_points drop constraint restore_points_run_id_key;
alter table varve.restore_points add constraint restore_points_run_id_key unique (run_id) include (id);
