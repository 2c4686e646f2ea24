-- A block that an earlier load brought is not copied again, as long as its calls are where that load left them.

alter table trunkline.blocks
    add column set_aside bigint not null default 0,  -- came more than once in the source, or with other values than the call that was kept
    add column known_from bigint;  -- the load that brought this block before, whose calls these records are duplicates of

create index on trunkline.blocks (content_hash) where rejected = 0 and content_hash <> '';

-- Whether the calls of a load, those that its duplicates repeat included, are where it left them.
create function trunkline.is_in_place(load bigint) returns boolean stable language sql as $$
    select l.status = 'loaded' and l.superseded_by is null
        and not exists (
            select from trunkline.load_partitions p
            where p.load_id = l.id
                and (
                    pg_relation_filenode(p.relation) is distinct from p.filenode
                    or not (
                        p.relation = to_regclass(l.call_table)
                        or exists (
                            select from pg_inherits i
                            where i.inhrelid = p.relation and i.inhparent = to_regclass(l.call_table)
                        )
                    )
                )
        )
        and (
            l.loaded + l.duplicates + l.conflicts = 0  -- none of its records has a call in the table
            or exists (select from trunkline.load_partitions p where p.load_id = l.id)
        )
    from trunkline.loads l where l.id = $1
$$;
