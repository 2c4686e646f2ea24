-- The schema of the books as all migrations together make it, to be read.  A test keeps it equal to them.

create schema trunkline;
create schema trunkline_staging;  -- readers never get USAGE here: tables in it are not published yet
revoke all on schema trunkline, trunkline_staging from public;

comment on schema trunkline is 'Books of trunkline: which source was loaded when, and where every record of it went.';
comment on schema trunkline_staging is 'Calls on their way into a call table.  Not published: do not read.';

-- One row per table that holds calls, with what must not change while it holds any.
create table trunkline.call_tables (
    name text primary key,  -- quoted and schema-qualified, as regclass prints it under an empty search_path
    layout text not null,
    key_fields text[] not null,
    key_fingerprint text not null,
    event_time text,
    partition text not null check (partition in ('day', 'week', 'month', 'none')),
    check ((event_time is null) <= (partition = 'none'))
);

create sequence trunkline.published_seq;

create table trunkline.loads (
    id bigint generated always as identity primary key,
    source text not null,  -- without credentials and URL signatures
    system text not null default '',
    layout text not null,
    layout_fingerprint text not null,
    key_fingerprint text not null,
    call_table text not null,
    timezone text not null default '',  -- the zones its times were read in
    tz_source text not null default '',  -- stated by the layout, configured by the user, proved from the data, or '' where no zone is needed
    currency text not null default '',
    content_hash text,  -- BLAKE3 of the source's bytes as stored; null until all of them were read
    bytes bigint,
    status text not null check (status in ('running', 'loaded', 'refused', 'failed')),
    reason text,  -- why it was refused or failed
    read bigint not null default 0,
    loaded bigint not null default 0,
    duplicates bigint not null default 0,
    duplicates_in_source bigint not null default 0,
    rejected bigint not null default 0,
    filtered bigint not null default 0,
    conflicts bigint not null default 0,
    replaced bigint not null default 0,
    rejected_by jsonb not null default '{}',
    cache_hits bigint not null default 0,
    cache_misses bigint not null default 0,
    seconds jsonb not null default '{}',
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    published_seq bigint unique,
    token uuid not null default gen_random_uuid(),  -- who may publish it
    resume_key text,  -- what must be equal for another run to go on with its blocks
    reloads bigint references trunkline.loads (id),
    replays bigint references trunkline.loads (id),  -- whose rejects it sent through the pipeline again
    superseded_by bigint references trunkline.loads (id),
    program_version text not null,
    warnings text[] not null default '{}',  -- one line each, without values of records
    cache_bytes_read bigint not null default 0,
    cache_bytes_written bigint not null default 0,
    trailer jsonb,  -- {"agrees": true, "count": {"stated": "2", "found": "2"}}
    constraint loads_not_negative check (least(read, loaded, duplicates, duplicates_in_source, rejected, filtered, conflicts, replaced) >= 0),
    constraint loads_balance check (status <> 'loaded' or read = loaded + duplicates + rejected + filtered),
    constraint loads_parts check (duplicates_in_source <= duplicates and conflicts <= rejected + duplicates and replaced <= loaded),
    constraint loads_published check ((status = 'loaded') = (published_seq is not null))
);
create index on trunkline.loads (content_hash);
create index on trunkline.loads (call_table, system);
create index on trunkline.loads (bytes);
create index on trunkline.loads (resume_key) where status = 'running';  -- those in work
create index on trunkline.loads using hash (source);  -- of names of any length
-- Without these, removing one row looks through all others for a reference to it.
create index on trunkline.loads (reloads) where reloads is not null;
create index on trunkline.loads (replays) where replays is not null;
create index on trunkline.loads (superseded_by) where superseded_by is not null;

comment on table trunkline.loads is 'One row per source that was loaded, refused or failed, and where its records went.';
comment on column trunkline.loads.published_seq is
    'Order in which loads became visible.  To follow increments, remember the highest one that was read.';

-- The sums of a load: what was typed must be what PostgreSQL found, in rows and in records set aside.
create table trunkline.totals (
    load_id bigint not null references trunkline.loads (id) on delete cascade,
    measure text not null check (measure in ('duration_s', 'cost')),
    currency text not null default '',
    typed numeric not null,  -- summed from the typed records before they were copied
    loaded numeric not null,  -- summed by SQL over the rows
    duplicates numeric not null,
    conflicts numeric not null,  -- of conflicts that were rejected
    primary key (load_id, measure, currency),
    constraint totals_balance check (typed = loaded + duplicates + conflicts)
);

comment on table trunkline.totals is 'Sums of duration and cost of a load: typed = loaded + duplicates + conflicts.';

create table trunkline.blocks (
    load_id bigint not null references trunkline.loads (id) on delete cascade,
    position bigint not null,
    first_byte bigint not null,
    bytes bigint not null,
    first_line bigint not null,
    lines bigint not null,
    content_hash text not null,  -- of the bytes, the dialect and the header
    read bigint not null,
    typed bigint not null,
    rejected bigint not null,
    filtered bigint not null,
    totals jsonb not null default '{}',  -- {"duration_s": "3720", "cost": {"USD": "13.70"}} of the typed records
    set_aside bigint not null default 0,  -- came more than once in the source, or with other values than the call that was kept
    known_from bigint,  -- the load that brought this block before, whose calls these records are duplicates of
    findings jsonb not null default '{}',  -- what the records show beside their values
    primary key (load_id, position),
    constraint blocks_balance check (read = typed + rejected + filtered)
);
create index on trunkline.blocks (content_hash) where rejected = 0 and content_hash <> '';

create table trunkline.rejects (
    id bigint generated always as identity primary key,
    load_id bigint not null references trunkline.loads (id) on delete cascade,
    source_line bigint not null,
    byte_offset bigint not null,
    raw bytea not null,
    raw_hash bytea generated always as (sha256(raw)) stored,
    field text,
    code text not null,
    message text not null,
    state text not null default 'open' check (state in ('open', 'replayed', 'discarded')),
    kept_load_id bigint,  -- of a conflict: the load and the line of the record that was kept
    kept_source_line bigint,
    same_as bigint references trunkline.rejects (id) on delete set null,  -- the first reject of the same bytes
    created_at timestamptz not null default clock_timestamp(),
    settled_at timestamptz,  -- when it was replayed or discarded
    replayed_by bigint references trunkline.loads (id),  -- the load that settled it
    note text,  -- why it was discarded
    settled_by text,  -- the role of the session; null where it was settled before this
    constraint rejects_replayed check (replayed_by is null or state = 'replayed')
);
create index on trunkline.rejects (load_id, source_line);
create index on trunkline.rejects (raw_hash);
create index on trunkline.rejects (same_as) where same_as is not null;  -- as for loads
create index on trunkline.rejects (replayed_by) where replayed_by is not null;

comment on table trunkline.rejects is 'Records that were not loaded, whole, with what was found and what was expected.';
comment on column trunkline.rejects.raw is 'Original bytes: personal data.  Not for readers, nor is raw_hash.';

-- How the source of a load was read: what its records mean without the source, to export and to replay them.
create table trunkline.readings (
    load_id bigint primary key references trunkline.loads (id) on delete cascade,
    preamble bytea not null,  -- what stands before the first record: byte order mark, skipped lines, header
    header text[] not null,  -- names of the columns, as read
    dialect jsonb not null  -- delimiter, quote and so on, as resolved
);

-- Staged tables are registered before they are made, so that a crash leaves none unknown.
create table trunkline.staged (
    load_id bigint not null references trunkline.loads (id) on delete cascade,
    relation text not null,  -- name in schema trunkline_staging
    lower timestamptz,  -- bounds of the partition; null: not partitioned
    upper timestamptz,
    sealed boolean not null default false,  -- settled, summed, and indexed or compared: ready to be published
    compared_with text,  -- the state of the partitions that it was compared with; null: not compared yet
    all_new boolean not null default false,  -- of a compared one: none of its calls was there
    primary key (load_id, relation)
);

-- What SQL found in the staged tables of a load, by currency; read by the publishing transaction.
create table trunkline.staged_sums (
    load_id bigint not null references trunkline.loads (id) on delete cascade,
    relation text not null,
    currency text not null,
    calls bigint not null,
    duration_s numeric not null,
    cost numeric not null,
    primary key (load_id, relation, currency)
);

-- What SQL found of compared staged tables to be there already, by currency; read by the publishing transaction.
create table trunkline.staged_twins (
    load_id bigint not null references trunkline.loads (id) on delete cascade,
    relation text not null,
    currency text not null,
    calls bigint not null,  -- with equal values: duplicates
    duration_s numeric not null,
    cost numeric not null,
    differing bigint not null,  -- with other values: noted one by one
    primary key (load_id, relation, currency)
);

-- Where the calls of a load are, its duplicates' twins included.  A load whose partitions are no longer the same files is not "unchanged".
create table trunkline.load_partitions (
    load_id bigint not null references trunkline.loads (id) on delete cascade,
    call_table text not null,
    relation oid not null,
    filenode oid not null,
    primary key (load_id, relation)
);
create index on trunkline.load_partitions (call_table);
create index on trunkline.load_partitions (relation);

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

-- Set as a trigger on every call table and every partition: after a DELETE, UPDATE or TRUNCATE by hand, no earlier load
-- with calls in it counts as unchanged.
create function trunkline.forget_contents() returns trigger
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
revoke execute on function trunkline.forget_contents() from public;

-- Numbers that switches count their files or records with, as each load brought them: they show what is missing.
create table trunkline.sequences (
    load_id bigint not null references trunkline.loads (id) on delete cascade,
    stream text not null,  -- what counts for itself within a system, such as a node; '' where there is one count
    restarts boolean not null,  -- whether the count begins again at 0 when the switch is started
    first_number bigint not null,
    last_number bigint not null,  -- the load has each number from the first to this one
    first_at timestamptz,  -- event times of the calls with these numbers; null where the source's name has the number
    last_at timestamptz,
    constraint sequences_range check (first_number <= last_number)
);
create index on trunkline.sequences (load_id);

comment on table trunkline.sequences is 'Ranges of sequence numbers that loads brought.  Numbers in none are missing.';

-- What `trunkline db migrate` did, each row written with its migration in one transaction.
create table trunkline.migrations (
    version integer primary key,
    name text not null,
    applied_at timestamptz not null default clock_timestamp()
);
