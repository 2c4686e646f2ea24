-- Typed calls in a table partitioned and keyed as trunkline's is.  Variables: first_day, last_day (UTC).
drop table if exists keyed;
create table keyed (
    customer_id bigint not null, cost numeric(18, 6) not null, destination text not null,
    started_at timestamptz not null, duration_s integer not null, record_key uuid not null
) partition by range (started_at);
select format(
    'create table %I partition of keyed for values from (%L) to (%L)',
    'keyed_' || to_char(day, 'YYYYMMDD'), day, day + interval '1 day'
)
from generate_series(:'first_day'::timestamptz, :'last_day', interval '1 day') as day
\gexec
create unique index on keyed (started_at, record_key);
