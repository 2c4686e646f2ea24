-- The last load of a source is asked for by its name, whatever that is long: a hash index has no limit to it.

create index on trunkline.loads using hash (source);
