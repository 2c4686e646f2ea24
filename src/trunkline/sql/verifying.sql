-- Queries that prove where the records of a source are.  They write to temporary tables only.
-- In braces: identifiers and column lists that depend on the layout, filled through psycopg2.sql.

-- name: load_of_content
-- The load that brought this content on these terms: of several the one by today's layout, then the last one.
select id, layout_fingerprint, read, loaded, duplicates, duplicates_in_source, rejected, filtered, rejected_by
from trunkline.loads
where content_hash = %(content_hash)s and status = 'loaded' and superseded_by is null and replays is null
    and (call_table, system, timezone, currency, key_fingerprint)
        = (%(call_table)s, %(system)s, %(timezone)s, %(currency)s, %(key_fingerprint)s)
order by (layout_fingerprint = %(layout_fingerprint)s) desc, id desc
limit 1

-- name: nearest_load
-- The load that explains best why no load brought this content on these terms.
select id, status, reason, source, system, call_table, timezone, currency, layout,
    coalesce(content_hash = %(content_hash)s, false) as same_content
from trunkline.loads
where (content_hash = %(content_hash)s or source = %(source)s) and superseded_by is null and replays is null
order by same_content desc, (status = 'loaded') desc, id desc
limit 1

-- name: analyze_staged
-- Let the planner know what was copied.
analyze {staged}

-- name: note_places
-- Note the records that are not, equal, where the load put them, or that are rejects as well: where each one is.
create temporary table {places} on commit drop as
select s.source_line, r.source_line is not null as is_reject, k.load_id as kept_load_id,
    k.source_line as kept_source_line,
    k.load_id is not null and k.load_id = %(load_id)s and k.source_line = s.source_line as is_own,
    k.load_id is not null and row({s_values}) is distinct from row({k_values}) as differs,
    {currency} as currency, {duration_s} as duration_s, {cost} as cost, ''::text as place
from {staged} s
    left join {table} k on {same_key} and {bounds}
    left join trunkline.rejects r on r.load_id = %(load_id)s and r.source_line = s.source_line
where r.source_line is not null
    or (k.load_id, k.source_line) is distinct from (%(load_id)s, s.source_line)
    or row({s_values}) is distinct from row({k_values})

-- name: name_places
-- Say of each what place that is.
update {places} set place = case
    when is_own and is_reject then 'two_places'
    when is_own then 'values_differ'
    when is_reject then 'rejected'
    when kept_load_id is null then 'missing'
    when differs and %(on_conflict)s = 'reject' then 'other_values'
    when differs and %(on_conflict)s = 'replace' then 'replaced'
    else 'duplicate'
end

-- name: count_places
-- How many records are in which place, and what they sum to, by currency.
select place, currency, count(*), coalesce(sum(duration_s), 0), coalesce(sum(cost), 0)
from {places} group by place, currency

-- name: count_repeats
-- How many duplicates have their like in the source before them, or behind where the last one is kept.
select count(*)
from {places} p join {staged} s on s.source_line = p.source_line
where p.place = 'duplicate' and exists (
    select from {staged} e where {same_key} and e.source_line {before} s.source_line
)

-- name: rows_of_load
-- What a load has in the call table, by currency.
select {currency} as currency, count(*), coalesce(sum({duration_s}), 0), coalesce(sum({cost}), 0)
from {table} k where k.load_id = %(load_id)s and {bounds}
group by 1

-- name: extra_rows
-- The first lines of calls of a load for which its source has no such record.
select k.source_line from {table} k
where k.load_id = %(load_id)s and {bounds} and not exists (
    select from {staged} s where s.source_line = k.source_line and {same_key}
)
order by 1
limit %(limit)s

-- name: first_of_place
-- The first records in a place, and where the call of their key is.
select source_line, kept_load_id, kept_source_line from {places} where place = %(place)s
order by source_line
limit %(limit)s

-- name: columns_that_differ
-- The names of the columns in which a record and the call of its key differ.
select array_remove(array[{columns}]::text[], null)
from {staged} s join {table} k on {same_key} and {bounds}
where s.source_line = %(source_line)s

-- name: rejects_between
-- The rejects of a load from a line to before another.
select source_line, byte_offset, raw, field, code from trunkline.rejects
where load_id = %(load_id)s and source_line >= %(first_line)s and source_line < %(end_line)s

-- name: totals_of_load
-- The sums of a load in the books.
select measure, currency, typed, loaded, duplicates, conflicts from trunkline.totals where load_id = %(load_id)s
