-- Up Migration

-- The checkpoint since which the platform was asked for changes of this disk. Null: it was not asked, the whole disk is read.
alter table varve.images add column since text check (since ~ '^[0-9]{1,20}$');
