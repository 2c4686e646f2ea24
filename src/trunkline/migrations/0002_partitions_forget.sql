-- Notice what is changed by hand in a partition that is named directly, too; find loads in work without reading all.

-- Loads whose calls are in the table that was changed do not count as unchanged any more.
create or replace function trunkline.forget_contents() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as
$$
begin
    -- A load that replaces or takes back calls names the partitions it touched itself.
    if pg_catalog.current_setting('trunkline.own_change', true) = 'on' then
        return null;
    end if;
    delete from trunkline.load_partitions p
    where p.load_id in (
        select t.load_id from trunkline.load_partitions t
        where t.relation = tg_relid
            or t.call_table = pg_catalog.format('%I.%I', tg_table_schema, tg_table_name)
    );
    return null;
end
$$;

create index on trunkline.load_partitions (relation);
create index on trunkline.loads (resume_key) where status = 'running';

-- Partitions to come get the trigger while they are staged; those that are there get it here.
do $$
declare
    relation regclass;
begin
    for relation in
        select i.inhrelid from trunkline.call_tables t join pg_inherits i on i.inhparent = to_regclass(t.name)
    loop
        execute format(
            'create or replace trigger trunkline_forget_contents after delete or update or truncate on %s'
            ' for each statement execute function trunkline.forget_contents()',
            relation
        );
    end loop;
exception
    when insufficient_privilege then
        raise warning 'changes by hand in partitions that are there are not noticed: not their owner';
end
$$;
