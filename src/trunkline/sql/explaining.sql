-- Queries that follow a single record through the books and the call tables.

-- name: load_columns
-- What is told of a load.
l.id, l.source, l.system, l.layout, l.call_table, l.status, l.reason, l.content_hash, l.timezone, l.tz_source, l.currency,
    coalesce(l.finished_at, l.started_at) as at, l.superseded_by, l.replays

-- name: loads_of_content
-- The loads of this content into a call table, of a system, in order.
select {columns} from trunkline.loads l
where l.content_hash = %(content_hash)s and l.call_table = %(call_table)s and l.system = %(system)s and l.replays is null
order by l.id

-- name: loads_of_name
-- The loads of sources of this name, in order.
select {columns} from trunkline.loads l where l.source = %(source)s and l.replays is null order by l.id

-- name: load_of_id
-- One load.
select {columns} from trunkline.loads l where l.id = %(load_id)s

-- name: reject_at
-- The reject of a load at a line.
select r.id, r.byte_offset, r.field, r.code, r.message, r.state, r.kept_load_id, r.kept_source_line, r.same_as,
    r.settled_at, r.settled_by, r.replayed_by, r.note
from trunkline.rejects r where r.load_id = %(load_id)s and r.source_line = %(source_line)s
order by r.id limit 1

-- name: place_of_reject
-- Load and line of a reject.
select load_id, source_line from trunkline.rejects where id = %(reject)s

-- name: lost_against
-- The conflicts that a call was kept against.
select id, load_id, source_line from trunkline.rejects
where kept_load_id = %(load_id)s and kept_source_line = %(source_line)s
order by id limit %(limit)s

-- name: block_at
-- The block of a load that has a line.
select position, first_byte, bytes from trunkline.blocks
where load_id = %(load_id)s and first_line <= %(source_line)s and %(source_line)s < first_line + lines

-- name: relations_of_load
-- The tables that hold the calls of a load; the call table itself where that is not known any more.
with known as (
    select p.relation from trunkline.load_partitions p join pg_class c on c.oid = p.relation
    where p.load_id = %(load_id)s
)
select n.nspname, c.relname
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.oid in (select relation from known) or not exists (select from known) and c.oid = to_regclass(%(call_table)s)
order by c.relname

-- name: call_at
-- The call that a load brought from a line.
select k.tableoid::regclass::text, k.record_key::text from {table} k
where k.load_id = %(load_id)s and k.source_line = %(source_line)s

-- name: call_of_key
-- The call that has the key of the staged record, and whether its values differ.
select k.load_id, k.source_line, k.tableoid::regclass::text, row({s_values}) is distinct from row({k_values})
from {staged} s join {table} k on {same_key} and {bounds}

-- name: call_tables
-- The call tables that are there.
select n.nspname, c.relname
from trunkline.call_tables t join pg_class c on c.oid = to_regclass(t.name) join pg_namespace n on n.oid = c.relnamespace
order by t.name

-- name: calls_of_key
-- The calls of a key in a table.
select k.load_id, k.source_line from {table} k where k.record_key = %(key)s
