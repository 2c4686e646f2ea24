-- A call log as it is: every column text, no key.
drop table if exists bare_text;
create table bare_text (
    customer_id text, call_cost text, call_destination text, call_date text, call_duration text
);
