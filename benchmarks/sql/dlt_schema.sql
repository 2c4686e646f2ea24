-- Nothing of an earlier run of dlt: it makes schema and tables itself.
drop schema if exists dlt_calls, dlt_calls_staging cascade;
