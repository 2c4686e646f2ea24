-- Queries that export rejects, send them through the pipeline again, or give them up.
-- {filters} is reject_filters of ledger.sql.

-- name: one_at_a_time
-- One replay at a time, until the transaction ends: two would wait for each other's rejects.
select pg_advisory_xact_lock(%(space)s, 2)

-- name: loads_with_rejects
-- Which loads have rejects that pass, in order, and on what terms they were loaded.
select l.id, l.source, l.system, l.layout, l.timezone, l.tz_source, l.currency, l.status, count(*)
from trunkline.rejects r join trunkline.loads l on l.id = r.load_id
where {filters} and l.status <> 'running'
group by l.id
order by l.id

-- name: reading_of
-- How the source of a load was read.
select preamble, header, dialect from trunkline.readings where load_id = %(load_id)s

-- name: rejects_to_replay
-- The next rejects of a load in the order of its source, held until the transaction ends; others may point at them.
select r.id, r.source_line, r.raw
from trunkline.rejects r
where {filters} and r.state = 'open' and r.load_id = %(load_id)s
    and (r.source_line, r.id) > (%(after_line)s, %(after_id)s)
order by r.source_line, r.id
limit %(at_once)s
for no key update

-- name: rejects_to_export
-- The next rejects of a load in the order of its source.
select r.id, r.source_line, r.raw, r.field, r.code, r.message
from trunkline.rejects r
where {filters} and r.load_id = %(load_id)s and (r.source_line, r.id) > (%(after_line)s, %(after_id)s)
order by r.source_line, r.id
limit %(at_once)s

-- name: settle_replayed
-- Settle rejects that left through a load, and every open one of the same bytes that means the same call.
with twins as (
    select r.id
    from trunkline.rejects s
        join trunkline.loads sl on sl.id = s.load_id
        join trunkline.readings sr on sr.load_id = s.load_id
        join trunkline.rejects r on r.raw_hash = s.raw_hash and r.raw = s.raw and r.state = 'open'
        join trunkline.loads rl on rl.id = r.load_id and rl.status <> 'running'
            and (rl.system, rl.layout, rl.call_table, rl.timezone, rl.currency)
                = (sl.system, sl.layout, sl.call_table, sl.timezone, sl.currency)
        join trunkline.readings rr on rr.load_id = r.load_id and rr.header = sr.header and rr.dialect = sr.dialect
    where s.id = any (%(ids)s)
)
update trunkline.rejects set state = 'replayed', replayed_by = %(load_id)s, settled_by = session_user,
    settled_at = clock_timestamp()
where id in (select id from twins) and state = 'open'

-- name: settle_read_again
-- The same contents are loaded as a whole: what was rejected of them before left through these loads, or is rejected again.
with before as (
    select r.id, n.id as load_id, again.id is not null as is_again
    from trunkline.loads n
        join trunkline.loads l on l.id <> n.id and l.status in ('loaded', 'refused')
            and (l.content_hash, l.call_table, l.system) = (n.content_hash, n.call_table, n.system)
        join trunkline.rejects r on r.load_id = l.id and r.state = 'open'
        left join trunkline.rejects again on again.load_id = n.id
            and again.raw_hash = r.raw_hash and again.byte_offset = r.byte_offset
    where n.id = any (%(load_ids)s)
    for no key update of r skip locked  -- whoever replays or discards them now settles them
)
update trunkline.rejects r set
    state = case when is_again then 'discarded' else 'replayed' end,
    replayed_by = case when is_again then null else before.load_id end,
    note = case when is_again then format('rejected again by load %%s', before.load_id) end,
    settled_by = session_user,
    settled_at = clock_timestamp()
from before
where r.id = before.id

-- name: count_settled
-- How many rejects a load settled.
select count(*) from trunkline.rejects where replayed_by = %(load_id)s

-- name: discard
-- Give open rejects up.
update trunkline.rejects r set state = 'discarded', note = %(note)s, settled_by = session_user, settled_at = clock_timestamp()
where {filters} and r.state = 'open'
    and exists (select from trunkline.loads l where l.id = r.load_id and l.status <> 'running')

-- name: kept_of_conflicts
-- The conflicts of a load in work, and which calls are kept.
select source_line, kept_load_id, kept_source_line from {aside} where kind = 'conflict'
