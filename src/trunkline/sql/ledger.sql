-- Queries that read the books.  A filter whose parameter is null lets everything pass.

-- name: list_loads
-- Loads, newest first.
select l.id, l.source, l.system, l.layout, l.call_table, l.timezone, l.tz_source, l.currency, l.content_hash, l.bytes,
    l.status, l.reason, l.read, l.loaded, l.duplicates, l.duplicates_in_source, l.rejected, l.rejected_by, l.filtered,
    l.conflicts, l.replaced, l.cache_hits, l.cache_misses, l.cache_bytes_read, l.cache_bytes_written, l.seconds,
    l.started_at, l.finished_at, l.published_seq,
    l.reloads, l.superseded_by, l.replays,
    array(select c.id from trunkline.loads c where c.replays = l.id order by c.id) as replayed_by, l.program_version, l.warnings, l.trailer,
    (
        select coalesce(sum(t.loaded), 0)
        from trunkline.totals t where t.load_id = l.id and t.measure = 'duration_s'
    ) as duration_s,
    (
        select coalesce(jsonb_object_agg(t.currency, t.loaded::text), '{{}}')
        from trunkline.totals t where t.load_id = l.id and t.measure = 'cost'
    ) as cost
from trunkline.loads l
where (%(ids)s::bigint[] is null or l.id = any (%(ids)s))
    and (%(status)s::text is null or l.status = %(status)s)
    and (%(layout)s::text is null or l.layout = %(layout)s)
    and (%(system)s::text is null or l.system = %(system)s)
    and (%(source)s::text is null or l.source = %(source)s)
order by l.id desc
limit %(limit)s

-- name: list_rejects
-- Rejects in the order of their sources, newest load first; without their bytes, which not every role may read.
select r.id, r.load_id, l.source, r.source_line, r.byte_offset, r.field, r.code, r.message, r.state,
    r.kept_load_id, r.kept_source_line, r.same_as, r.created_at, r.settled_at, r.settled_by, r.replayed_by, r.note
from trunkline.rejects r join trunkline.loads l on l.id = r.load_id
where {filters}
order by r.load_id desc, r.source_line, r.id
limit %(limit)s

-- name: count_rejects
-- How many rejects there are.
select count(*) from trunkline.rejects r where {filters}

-- name: reject_filters
-- What list and count have in common.
(%(load)s::bigint is null or r.load_id = %(load)s)
    and (%(code)s::text is null or r.code = %(code)s)
    and (%(field)s::text is null or r.field = %(field)s)
    and (%(state)s::text is null or r.state = %(state)s)
    and (%(ids)s::bigint[] is null or r.id = any (%(ids)s::bigint[]))
    and (%(older_than)s::interval is null or r.created_at < now() - %(older_than)s::interval)
    and (%(newer_than)s::interval is null or r.created_at >= now() - %(newer_than)s::interval)

-- name: show_reject
-- One reject with its bytes.
select r.id, r.load_id, l.source, r.source_line, r.byte_offset, r.field, r.code, r.message, r.state,
    r.kept_load_id, r.kept_source_line, r.same_as, r.created_at, r.settled_at, r.settled_by, r.replayed_by, r.note, r.raw
from trunkline.rejects r join trunkline.loads l on l.id = r.load_id
where r.id = %(reject)s
