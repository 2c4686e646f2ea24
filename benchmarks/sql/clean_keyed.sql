-- The cleaned call log as CSV, with a key.
set max_parallel_workers_per_gather = 0;
set synchronize_seqscans = off;
copy (select * from typed) to stdout with (format csv, header);
