-- Numbers that switches count their files or records with: noted by loads, read back as ranges.

-- name: note_numbers_in_order
-- Note the numbers of the staged calls that are loaded, of each load for itself, where they rise with time, as ranges
-- without holes; nothing where they do not, or where there are none.  One sort instead of the four of `note_numbers`, for
-- what nearly all tables are.
insert into trunkline.sequences (load_id, stream, restarts, first_number, last_number, first_at, last_at)
with numbered as (
    select s.load_id, s.{number} as number, {at} as at
    from {staged} s
    where s.{number} is not null
        and not exists (select from {aside} a where a.source_line = s.source_line)
),
compared as materialized (
    select load_id, number, at, lag(number) over in_time as before, number - row_number() over in_time as island
    from numbered
    window in_time as (partition by load_id order by at, number)
)
select load_id, '', %(restarts)s, min(number), max(number), min(at), max(at)
from compared
where not exists (select from compared where number <= before or (number = 0 and before < 0))
group by load_id, island

-- name: note_numbers
-- Note the numbers of the staged calls that are loaded, of each load for itself, as ranges without holes.  A number that
-- comes again begins a range of its own; where the count restarts, so does a fall, and a number of an earlier call than
-- the one before.
insert into trunkline.sequences (load_id, stream, restarts, first_number, last_number, first_at, last_at)
with numbered as (
    select s.load_id, s.{number} as number, {at} as at
    from {staged} s
    where s.{number} is not null
        and not exists (select from {aside} a where a.source_line = s.source_line)
),
compared as (
    select load_id, number, at, lag(number) over (partition by load_id order by at, number) as before from numbered
),
counted as (
    select load_id, number, at,
        count(*) filter (where %(restarts)s and (number = 0 or before - number > %(disorder)s))
            over (partition by load_id order by at, number rows unbounded preceding) as run
    from compared
),
repeated as (
    select load_id, number, at, run, row_number() over (partition by load_id, run, number order by at) as nth,
        lag(at) over (partition by load_id, run order by number, at) as at_before
    from counted
),
ranged as (
    select load_id, number, at, run, nth,
        number - row_number() over (partition by load_id, run, nth order by number) as island,
        count(*) filter (where %(restarts)s and at < at_before)
            over (partition by load_id, run, nth order by number) as back
    from repeated
)
select load_id, '', %(restarts)s, min(number), max(number), min(at), max(at)
from ranged
group by load_id, run, nth, island, back

-- name: forget_replaced
-- Take the numbers of calls that staged calls replace out of the ranges of the loads that brought them.
with replaced as (
    select k.load_id, k.{number} as number, {at} as at
    from {table} k join {staged} s on {same_key}
    where {bounds} and k.{number} is not null
        and not exists (select from {aside} a where a.source_line = s.source_line)
),
cuts as (
    select distinct on (r.load_id, r.number, r.at) q.ctid as place, q.*, r.number, r.at
    from replaced r join trunkline.sequences q
        on q.load_id = r.load_id and r.number between q.first_number and q.last_number
    order by r.load_id, r.number, r.at, (r.at between q.first_at and q.last_at) desc, q.ctid
),
gone as (
    delete from trunkline.sequences q using (select distinct place from cuts) c where q.ctid = c.place
)
insert into trunkline.sequences (load_id, stream, restarts, first_number, last_number, first_at, last_at)
select load_id, stream, restarts, first, last, since, until
from (
    select load_id, stream, restarts, coalesce(lag(number) over in_range + 1, first_number) as first,
        number - 1 as last, coalesce(lag(at) over in_range, first_at) as since, at as until
    from cuts
    window in_range as (partition by place order by number)
    union all
    (
        select distinct on (place) load_id, stream, restarts, number + 1, last_number, at, last_at
        from cuts
        order by place, number desc
    )
) kept
where first <= last

-- name: note_number
-- Note the number in the name of a source, once for each load.  A replay brings no source of its own.
insert into trunkline.sequences (load_id, stream, restarts, first_number, last_number)
select %(load_id)s, %(stream)s, false, %(number)s, %(number)s
where not exists (
    select from trunkline.sequences
    where load_id = %(load_id)s and stream = %(stream)s and first_number = %(number)s
) and not exists (
    select from trunkline.loads where id = %(load_id)s and replays is not null
)

-- name: carry_numbers
-- Note the numbers of all names under which the content came before that is loaded anew.
insert into trunkline.sequences (load_id, stream, restarts, first_number, last_number)
select distinct %(load_id)s::bigint, stream, restarts, first_number, last_number
from trunkline.sequences
where load_id = any (%(load_ids)s)

-- name: list_ranges
-- The ranges whose calls are in the tables now, by what counts them, in order of time.
select l.system, l.layout, s.stream, s.restarts, s.first_number as first, s.last_number as last, s.load_id,
    l.source
from trunkline.sequences s join trunkline.loads l on l.id = s.load_id
where l.status = 'loaded' and l.superseded_by is null
    and (%(layout)s::text is null or l.layout = %(layout)s)
    and (%(system)s::text is null or l.system = %(system)s)
order by l.system, l.layout, s.stream, s.first_at nulls first, s.first_number, s.load_id
