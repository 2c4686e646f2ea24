-- What a table holds: its count, exact sums, and a sum over hashes of whole records, which no swapped value survives.
-- Variables: found (a table or view), every (hash one record in so many, by customer; 1 is all).
select concat_ws(
    '|', count(*), sum(customer_id), trim_scale(sum(cost::numeric)), sum(duration_s),
    sum(extract(epoch from started_at))::bigint,
    sum(
        hashtextextended(
            concat_ws(
                '|', customer_id, trim_scale(cost::numeric), destination, extract(epoch from started_at)::bigint,
                duration_s
            ), 0
        )::numeric
    ) filter (where customer_id % :every = 0)
)
from :found;
