-- What trailers of a source state, and what was found: null where it has none, or its layout knows none.

alter table trunkline.loads add column trailer jsonb;  -- {"agrees": true, "count": {"stated": "2", "found": "2"}}
