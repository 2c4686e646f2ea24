-- What was doubtful about a source and no reason to refuse it: said while it is loaded, and kept.

alter table trunkline.loads add column warnings text[] not null default '{}';  -- one line each, without values of records
