-- Who replayed or discarded a reject.

alter table trunkline.rejects add column settled_by text;  -- the role of the session; null where it was settled before this
