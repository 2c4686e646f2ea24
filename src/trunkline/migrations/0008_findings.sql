-- What the records of a block show beside their values, such as traces of a spreadsheet; judged over the source.

alter table trunkline.blocks add column findings jsonb not null default '{}';
