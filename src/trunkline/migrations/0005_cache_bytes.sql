-- What the cache gave and took for a load, in bytes of values.

alter table trunkline.loads add column cache_bytes_read bigint not null default 0;
alter table trunkline.loads add column cache_bytes_written bigint not null default 0;
