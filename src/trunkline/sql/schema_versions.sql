-- Queries about which migrations a database has, and the lock that keeps migrations and loads apart.

-- name: has_migrations
-- Whether any migration was ever applied.  Not asked through to_regclass: after a wait for an advisory lock it may
-- answer from what the session had cached before.
select exists (select from pg_tables where schemaname = 'trunkline' and tablename = 'migrations')

-- name: applied_versions
-- The migrations that were applied.
select version from trunkline.migrations order by version

-- name: begin_migration
-- Wait for loads to end, for so long; read committed, so that what a migration before us did is seen after the wait.
set transaction isolation level read committed;
select set_config('lock_timeout', %(wait_ms)s::text, true);
select pg_advisory_xact_lock(%(space)s, 0)

-- name: record_migration
-- Note that a migration was applied.
insert into trunkline.migrations (version, name) values (%(version)s, %(name)s)

-- name: share_for_session
-- Keep migrations away until this session ends; false while one is in work or waits.
select pg_try_advisory_lock_shared(%(space)s, 0)

-- name: share_for_transaction
-- Keep migrations away until this transaction ends; false while one is in work or waits.
select pg_try_advisory_xact_lock_shared(%(space)s, 0)

-- name: migration_script
-- A migration as a script prints it, for those who apply it with a tool of their own.
begin;
select pg_advisory_xact_lock({space}, 0);

{text}

insert into trunkline.migrations (version, name) values ({version}, '{name}');
commit;
