-- Queries that keep, in temporary tables, what earlier sources of a check would have loaded.

-- name: touched
-- The first days of the partitions out of which a source would take calls, back or for others in their place.
select distinct {start} from {seen} k where k.load_id = any (%(load_ids)s)
union
select distinct {start}
from {seen} k join {staged} s on {same_key}
where %(replaces)s and not exists (select from {aside} a where a.source_line = s.source_line)

-- name: days_of_load
-- The first days of the partitions that hold calls of a load; null where the call table has none.
select case when p.relation <> to_regclass(l.call_table) then
    (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\)'))[1]::timestamptz::date end
from trunkline.load_partitions p join trunkline.loads l on l.id = p.load_id join pg_class c on c.oid = p.relation
where p.load_id = %(load_id)s

-- name: make_foreseen
-- Make the table of what would be loaded.
create temporary table if not exists {foreseen} (like {staged})

-- name: drop_taken_back
-- Forget what a source would take back that was checked earlier.
delete from {foreseen} where load_id = any (%(load_ids)s)

-- name: drop_replaced
-- Forget what a source would replace that was checked earlier.
delete from {foreseen} k using {staged} s
where {same_key} and not exists (select from {aside} a where a.source_line = s.source_line)

-- name: add_foreseen
-- Keep what a source would load.
insert into {foreseen} ({columns})
select {s_columns} from {staged} s
where not exists (select from {aside} a where a.source_line = s.source_line)

-- name: drop_seen
-- Make room for the view of what there would be.
drop view if exists {seen}

-- name: see_alone
-- What there would be where there is no call table yet.
create temporary view {seen} as select {columns} from {foreseen}

-- name: see_with_table
-- What there would be: the call table without what would be taken back or replaced, and what would be loaded.
create temporary view {seen} as
select {k_columns} from {table} k
where k.load_id <> all ({taken_back}) and not exists (select from {foreseen} f where {same_key})
union all
select {columns} from {foreseen}

-- name: drop_rehearsed
-- Make room for the next source.
drop table {staged}, {aside}, {repeats}
