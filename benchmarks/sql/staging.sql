-- What one writes by hand for calls that are there once: text into an unlogged table, casts, the key decides.
begin;
create unlogged table staging (
    customer_id text, call_cost text, call_destination text, call_date text, call_duration text
);
\copy staging from pstdin with (format csv, header)
insert into keyed
select
    customer_id::bigint, replace(call_cost, '$', '')::numeric(18, 6), call_destination,
    call_date::timestamp at time zone 'Africa/Nairobi', extract(epoch from call_duration::interval)::integer,
    md5(concat_ws('|', customer_id, call_date, call_destination, call_duration))::uuid
from staging
on conflict do nothing;
drop table staging;
commit;
