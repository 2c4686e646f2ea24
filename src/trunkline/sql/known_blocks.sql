-- Queries about blocks that an earlier load brought, so that they need not be copied again.

-- name: add_known_blocks
-- Account for those of some blocks that a load on the same terms brought, whole and without rejects; their positions.
with wanted as (
    select * from unnest(%(positions)s::bigint[], %(first_bytes)s::bigint[], %(first_lines)s::bigint[],
        %(content_hashes)s::text[]) w (position, first_byte, first_line, content_hash)
),
candidates as materialized (  -- an export that rolls on brings a block every day: of one load once
    select distinct on (w.position, l.id) w.*, l.id as origin, b.load_id, b.bytes, b.lines, b.read, b.typed, b.filtered,
        b.totals, b.findings
    from wanted w
        join trunkline.blocks b using (content_hash)
        join trunkline.loads l on l.id = coalesce(b.known_from, b.load_id)
    where b.content_hash <> ''
        and b.rejected = 0
        and b.set_aside = 0
        and l.call_table = %(call_table)s
        and l.system = %(system)s
        and l.layout_fingerprint = %(layout_fingerprint)s
        and l.key_fingerprint = %(key_fingerprint)s
    order by w.position, l.id, b.load_id desc, b.position
),
in_place as materialized (  -- each load is asked for once, not for each of its blocks
    select origin from (select distinct origin from candidates) origins where trunkline.is_in_place(origin)
)
insert into trunkline.blocks (
    load_id, position, first_byte, bytes, first_line, lines, content_hash, read, typed, rejected, filtered, totals,
    known_from, findings
)
select distinct on (position) %(load_id)s, position, first_byte, bytes, first_line, lines, content_hash, read, typed, 0,
    filtered, totals, origin, findings
from candidates join in_place using (origin)
order by position, load_id desc
returning position

-- name: stale_known_blocks
-- Blocks that were known when they were accounted for, and are not any more: calls were deleted or reloaded since.
with known as materialized (  -- each load is asked for once, not for each of its blocks
    select distinct known_from from trunkline.blocks where load_id = %(load_id)s and known_from is not null
)
select from known where not trunkline.is_in_place(known_from)
limit 1

-- name: has_known_blocks
-- Whether a load has blocks that are known.
select exists (select from trunkline.blocks where load_id = %(load_id)s and known_from is not null)

-- name: note_known_twins
-- Records whose call is also in a known block, and was brought by its load, came more than once in the source.
with twins as (
    select o.load_id, array_agg(o.first_line order by o.first_line) as firsts,
        array_agg(o.first_line + o.lines order by o.first_line) as ends
    from trunkline.blocks b
        join trunkline.blocks o on o.load_id = b.known_from and o.content_hash = b.content_hash and o.set_aside = 0
    where b.load_id = %(load_id)s
    group by o.load_id
)
update {aside} a set in_source = true
from twins t
where not a.in_source
    and a.kept_load_id = t.load_id
    and a.kept_source_line < t.ends[width_bucket(a.kept_source_line, t.firsts)]

-- name: count_known
-- How many calls the known blocks of a load hold, all of them in the table; and of those, in blocks that came before.
select coalesce(sum(typed), 0), coalesce(sum(typed) filter (where nth > 1), 0)
from (
    select typed, row_number() over (partition by content_hash order by position) as nth
    from trunkline.blocks where load_id = %(load_id)s and known_from is not null
) known

-- name: add_known_partitions
-- The calls that known blocks repeat are where the loads that brought them have theirs.
insert into trunkline.load_partitions (load_id, call_table, relation, filenode)
select distinct %(load_id)s, p.call_table, p.relation, p.filenode
from trunkline.load_partitions p
where p.load_id in (select known_from from trunkline.blocks where load_id = %(load_id)s)
on conflict do nothing

-- name: inherit_proof
-- Of a load whose zone no new record could prove: it is proved by those that known blocks were loaded with.
update trunkline.loads l set tz_source = 'proved'
where l.id = %(load_id)s and l.tz_source <> '' and exists (
    select from trunkline.blocks b join trunkline.loads k on k.id = b.known_from
    where b.load_id = l.id and k.tz_source = 'proved'
)

-- name: count_set_aside
-- Note for each block how many of its records were not simply loaded or found: such a block is read again next time.
with borders as (
    select array_agg(position order by first_line) as positions, array_agg(first_line order by first_line) as lines
    from trunkline.blocks where load_id = %(load_id)s
),
counted as (
    select positions[width_bucket(a.source_line, lines)] as position, count(*) as records
    from {aside} a, borders
    where a.in_source or a.differs
    group by 1
)
update trunkline.blocks b set set_aside = c.records
from counted c where b.load_id = %(load_id)s and b.position = c.position
