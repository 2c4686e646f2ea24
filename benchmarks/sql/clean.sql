-- The cleaned call log as CSV, without a key.
set max_parallel_workers_per_gather = 0;
set synchronize_seqscans = off;
copy (select customer_id, cost, destination, started_at, duration_s from typed) to stdout with (format csv, header);
