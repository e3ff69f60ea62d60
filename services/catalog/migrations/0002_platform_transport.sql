-- Up Migration

-- How disk data travels: NBD in plain text or over TLS. Null: TLS where the platform offers it.
alter table varve.platforms add column transport text check (transport in ('nbd', 'nbd_ssl'));
