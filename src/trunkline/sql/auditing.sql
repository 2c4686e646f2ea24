-- Queries that compare the books with themselves and with the call tables.  They write to a temporary table only.
-- Each query that looks for disagreements returns the load, what it is about, what the books say, what was found, and
-- how many such rows there are in all.

-- name: all_call_tables
-- Every call table that the books name: whether it is there, and what it is made of.
select t.name, n.nspname, c.relname, k.event_time, k.partition,
    (select count(*) from trunkline.loads l where l.call_table = t.name and l.status = 'loaded')
from (select name from trunkline.call_tables union select call_table from trunkline.loads where status = 'loaded') t
    left join trunkline.call_tables k on k.name = t.name
    left join pg_class c on c.oid = to_regclass(t.name)
    left join pg_namespace n on n.oid = c.relnamespace
order by t.name

-- name: columns_of
-- The columns of a call table with their types.
select attname, format_type(atttypid, atttypmod) from pg_attribute
where attrelid = to_regclass(%(name)s) and attnum > 0 and not attisdropped
order by attnum

-- name: note_held
-- What the call table holds of each load, by currency.
create temporary table {held} on commit drop as
select load_id, {currency} as currency, count(*) as calls, coalesce(sum({duration_s}), 0) as duration_s,
    coalesce(sum({cost}), 0) as cost
from {table}
group by 1, 2

-- name: count_held
-- How many calls the call table holds.
select coalesce(sum(calls), 0) from {held}

-- name: has_key_index
-- Whether a valid unique index on exactly these columns says what is once.
select exists (
    select from pg_index i
    where i.indrelid = to_regclass(%(name)s) and i.indisunique and i.indisvalid and i.indpred is null
        and array(
            select a.attname::text from unnest(i.indkey::smallint[]) with ordinality k (number, nth)
                join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
            order by k.nth
        ) = %(columns)s::text[]
)

-- name: row_without_load
-- Calls of loads that the books do not have, or have as refused, reloaded, or of another call table.
select h.load_id, coalesce(
        case
            when l.id is null then 'the books have no such load'
            when l.superseded_by is not null then 'it was reloaded'
            when l.status <> 'loaded' then 'it is ' || l.status
            else 'its call table is ' || l.call_table
        end, ''
    ), '0', sum(h.calls)::text, count(*) over ()
from {held} h left join trunkline.loads l on l.id = h.load_id
where l.id is null or l.superseded_by is not null or l.status <> 'loaded' or l.call_table <> %(name)s
group by h.load_id, l.id
order by h.load_id
limit %(limit)s

-- name: loaded_calls
-- Loads of which the call table holds none, or some and more or fewer than they brought.  Fewer are in order as far as
-- later loads replaced calls.
with counted as (
    select l.id, l.loaded, coalesce(sum(h.calls), 0) as calls
    from trunkline.loads l left join {held} h on h.load_id = l.id
    where l.call_table = %(name)s and l.status = 'loaded' and l.superseded_by is null
    group by l.id
),
room as (
    select (
        select coalesce(sum(replaced), 0) from trunkline.loads where call_table = %(name)s and status = 'loaded'
    ) >= coalesce(sum(loaded - calls), 0) as is_enough
    from counted where calls < loaded
)
select id, 'calls', loaded::text, calls::text, count(*) over ()
from counted, room
where (calls > loaded or calls < loaded and not is_enough) and (calls = 0) = %(without)s
order by id
limit %(limit)s

-- name: loaded_sums
-- Loads whose calls are all there and sum to something else than the books say.
with counted as (
    select l.id
    from trunkline.loads l join {held} h on h.load_id = l.id
    where l.call_table = %(name)s and l.status = 'loaded' and l.superseded_by is null
    group by l.id
    having sum(h.calls) = l.loaded
),
found as (
    select load_id, 'duration_s' as measure, '' as currency, sum(duration_s) as amount
    from {held} join counted on id = load_id group by 1
    union all
    select load_id, 'cost', currency, cost from {held} join counted on id = load_id
),
kept as (
    select load_id, measure, currency, loaded as amount from trunkline.totals join counted on id = load_id
)
select load_id, trim(measure || ' ' || currency), coalesce(k.amount, 0)::text, coalesce(f.amount, 0)::text, count(*) over ()
from found f full join kept k using (load_id, measure, currency)
where coalesce(k.amount, 0) <> coalesce(f.amount, 0)
order by 1, 2
limit %(limit)s

-- name: partition_gone
-- Partitions with calls of a load that are not part of the call table any more.
select p.load_id, case when c.oid is null then 'it was dropped' else p.relation::regclass || ' was detached' end,
    'a partition of the call table', 'none', count(*) over ()
from trunkline.load_partitions p join trunkline.loads l on l.id = p.load_id left join pg_class c on c.oid = p.relation
where p.call_table = %(name)s and l.superseded_by is null and p.relation is distinct from to_regclass(%(name)s)::oid
    and not exists (
        select from pg_inherits i where i.inhrelid = p.relation and i.inhparent = to_regclass(%(name)s)
    )
order by p.load_id, p.relation
limit %(limit)s

-- name: balance
-- Loads whose records are not all accounted for.
select id, 'read', read::text, (loaded + duplicates + rejected + filtered)::text, count(*) over ()
from trunkline.loads
where status = 'loaded' and read <> loaded + duplicates + rejected + filtered
order by id
limit %(limit)s

-- name: blocks
-- Loads whose blocks do not add up to what was read or filtered.
select l.id, 'read, filtered', format('%%s, %%s', l.read, l.filtered),
    format('%%s, %%s', coalesce(sum(b.read), 0), coalesce(sum(b.filtered), 0)), count(*) over ()
from trunkline.loads l left join trunkline.blocks b on b.load_id = l.id
where l.status = 'loaded'
group by l.id
having l.read <> coalesce(sum(b.read), 0) or l.filtered <> coalesce(sum(b.filtered), 0)
order by l.id
limit %(limit)s

-- name: rejects
-- Loads that have other rejects than the books count, by code.
with found as (
    select load_id, jsonb_object_agg(code, n) as by_code, sum(n) as n
    from (select load_id, code, count(*) as n from trunkline.rejects group by 1, 2) c
    group by 1
)
select l.id, 'rejects', l.rejected || ' ' || l.rejected_by::text,
    coalesce(f.n, 0) || ' ' || coalesce(f.by_code, '{{}}')::text, count(*) over ()
from trunkline.loads l left join found f on f.load_id = l.id
where l.status = 'loaded'
    and (l.rejected <> coalesce(f.n, 0) or l.rejected_by <> coalesce(f.by_code, '{{}}'::jsonb))
order by l.id
limit %(limit)s

-- name: totals
-- Sums that do not balance.
select load_id, trim(measure || ' ' || currency), typed::text, (loaded + duplicates + conflicts)::text, count(*) over ()
from trunkline.totals
where typed <> loaded + duplicates + conflicts
order by 1, 2
limit %(limit)s

-- name: replays
-- Rejects that are settled by a load that is not loaded, or by none.
select r.load_id, 'reject ' || r.id, 'replayed by load ' || coalesce(r.replayed_by::text, '?'),
    coalesce(l.status, 'no such load'), count(*) over ()
from trunkline.rejects r left join trunkline.loads l on l.id = r.replayed_by
where r.state = 'replayed' and l.status is distinct from 'loaded'
order by r.id
limit %(limit)s
