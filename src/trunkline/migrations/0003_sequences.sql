-- Numbers that switches count their files or records with, as each load brought them: they show what is missing.

create table trunkline.sequences (
    load_id bigint not null references trunkline.loads (id) on delete cascade,
    stream text not null,  -- what counts for itself within a system, such as a node; '' where there is one count
    restarts boolean not null,  -- whether the count begins again at 0 when the switch is started
    first_number bigint not null,
    last_number bigint not null,  -- the load has each number from the first to this one
    first_at timestamptz,  -- event times of the calls with these numbers; null where the source's name has the number
    last_at timestamptz,
    constraint sequences_range check (first_number <= last_number)
);
create index on trunkline.sequences (load_id);

comment on table trunkline.sequences is 'Ranges of sequence numbers that loads brought.  Numbers in none are missing.';
