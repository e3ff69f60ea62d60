-- Up Migration

-- A point is listed with its images, and never changes: what a list says of them stands in the point's own row. Looked up, the images of a year of one VM's
-- points lie in as many places of two tables as there were nights. Figures: docs/scale.md.
alter table varve.restore_points add column images jsonb;
update varve.restore_points p set images = (
  select jsonb_agg(jsonb_build_object('imageId', i.id, 'diskId', i.disk_id, 'diskSize', i.disk_size, 'blockSize', i.block_size, 'kind', i.kind,
                                      'reason', i.reason, 'read', i.read, 'stored', i.written, 'cbt', s.cbt) order by i.position)
    from varve.restore_point_images s join varve.images i on i.id = s.image_id where s.restore_point_id = p.id);
alter table varve.restore_points
  alter column images set not null,
  add constraint restore_points_images_check check (jsonb_typeof(images) = 'array');
create trigger restore_points_images_stay before update of images on varve.restore_points for each row execute function varve.refuse_change();

-- A VM's list is read in its own order; "is there a point of this run" without the point.
create index restore_points_by_vm_time on varve.restore_points (vm_id, created_at desc, id desc);
alter table varve.restore_points drop constraint restore_points_run_id_key;
alter table varve.restore_points add constraint restore_points_run_id_key unique (run_id) include (id);
