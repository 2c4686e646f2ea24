-- The call log typed by hand, from the text that psql copied: what every way must bring, and what cleaned files hold.
-- The key is 16 bytes made of the fields that trunkline's key is made of.
drop view if exists typed;
create view typed as
select
    customer_id::bigint as customer_id,
    replace(call_cost, '$', '')::numeric(18, 6) as cost,
    call_destination as destination,
    call_date::timestamp at time zone 'Africa/Nairobi' as started_at,
    extract(epoch from call_duration::interval)::integer as duration_s,
    md5(concat_ws('|', customer_id, call_date, call_destination, call_duration))::uuid as record_key
from bare_text;
