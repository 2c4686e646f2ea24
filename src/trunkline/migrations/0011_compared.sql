-- Staged tables are compared with the calls that are there before their load is published.

alter table trunkline.staged
    add column compared_with text,  -- the state of the partitions that it was compared with; null: not compared yet
    add column all_new boolean not null default false;  -- of a compared one: none of its calls was there

-- What SQL found of compared staged tables to be there already, by currency; read by the publishing transaction.
create table trunkline.staged_twins (
    load_id bigint not null references trunkline.loads (id) on delete cascade,
    relation text not null,
    currency text not null,
    calls bigint not null,  -- with equal values: duplicates
    duration_s numeric not null,
    cost numeric not null,
    differing bigint not null,  -- with other values: noted one by one
    primary key (load_id, relation, currency)
);
