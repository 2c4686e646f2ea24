-- Typed calls without a key.
drop table if exists bare;
create table bare (
    customer_id bigint, cost numeric(18, 6), destination text, started_at timestamptz, duration_s integer
);
