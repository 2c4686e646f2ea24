-- What two roles need: a loader that writes calls and books, and a reader that sees published calls and the
-- books, but never the original bytes of rejects nor calls on their way.  All of it may be run again at any time.

-- name: to_loader
-- Books and staging for the loader.

-- The loader writes the books, keeps calls on their way in trunkline_staging, and makes the view trunkline.calls.
grant usage, create on schema trunkline, trunkline_staging to {loader};
grant select, insert, update, delete on all tables in schema trunkline to {loader};
revoke insert, update, delete on trunkline.migrations from {loader};
grant usage on all sequences in schema trunkline to {loader};
grant execute on function trunkline.forget_contents() to {loader};

-- name: to_reader
-- Books for the reader.

-- The reader sees the books; of rejects neither the bytes nor their hash, which for a short record gives them away,
-- nor what stands before the first record of a source: where a header is missing, that is a call.
grant usage on schema trunkline to {reader};
revoke all on all tables in schema trunkline from {reader};
grant select on trunkline.loads, trunkline.totals, trunkline.blocks, trunkline.load_partitions, trunkline.call_tables,
    trunkline.sequences, trunkline.migrations
    to {reader};
grant select (
    id, load_id, source_line, byte_offset, field, code, message, state, kept_load_id, kept_source_line, same_as,
    created_at, settled_at, settled_by, replayed_by, note
) on trunkline.rejects to {reader};
revoke all on schema trunkline_staging from {reader};
revoke all on all tables in schema trunkline_staging from {reader};

-- name: in_schema
-- One schema with call tables: those to come.

-- Call tables that the loader makes in {schema} are for the reader, too.
grant usage, create on schema {schema} to {loader};
grant usage on schema {schema} to {reader};
alter default privileges for role {loader} in schema {schema} grant select on tables to {reader};

-- name: on_call_tables
-- The call tables and the view that are there.

-- Of the call tables that are there, the loader becomes the owner: only an owner may attach a partition.
do $do$
declare
    relation regclass;
begin
    -- The view trunkline.calls is to come.  Where the loader migrates as well, its default privileges would also
    -- open tables of later migrations: then run this script again once the view is there.
    if (select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'trunkline') <> {loader_name} then
        alter default privileges for role {loader} in schema trunkline grant select on tables to {reader};
    end if;
    for relation in
        select p.relid
        from trunkline.call_tables t, pg_partition_tree(to_regclass(t.name)) p
        union all
        select c.oid from trunkline.call_tables t join pg_class c on c.oid = to_regclass(t.name) and c.relkind = 'r'
        union all
        select v from to_regclass('trunkline.calls') v where v is not null
        union all
        select oid from pg_class where relkind = 'v' and obj_description(oid, 'pg_class') like 'Made by trunkline: %'
    loop
        if (select pg_get_userbyid(relowner) from pg_class where oid = relation) <> {loader_name} then
            execute format('alter table %s owner to %I', relation, {loader_name});
        end if;
    end loop;
    for relation in
        select to_regclass(name) from trunkline.call_tables where to_regclass(name) is not null
        union all
        select v from to_regclass('trunkline.calls') v where v is not null
        union all
        select oid from pg_class where relkind = 'v' and obj_description(oid, 'pg_class') like 'Made by trunkline: %'
    loop
        execute format('grant select on %s to %I', relation, {reader_name});
    end loop;
end
$do$;
