-- What a table made from a Master.csv holds.  Variables: found; the names of four of its columns.
select concat_ws(
    '|', count(*), sum(:duration::bigint), sum(:billable::bigint), sum(hashtextextended(:callee, 0)::numeric),
    count(distinct :call_id)
)
from :found;
