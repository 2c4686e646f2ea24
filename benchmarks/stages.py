"""Extraction and transformation of a file and nothing else, through the cache, and the CPU that they take.

python -m benchmarks.stages FILE      (TRUNKLINE_REDIS_URL says where the cache is)
"""

from __future__ import annotations

import json
import os
import sys
from time import process_time

from trunkline.cache.store import connect_cache
from trunkline.engine import Reading, identity_of, work_block
from trunkline.framing.cutting import frame
from trunkline.framing.dialect import resolve_dialect
from trunkline.layout.files import load_layout
from trunkline.sources.source import open_source


def main(file: str, redis_url: str) -> None:
    """Work on every block as a run does; print the CPU seconds of all threads while blocks were worked on."""
    layout = load_layout("customer_call_logs")
    cache = connect_cache(redis_url, warn=stop)
    stage_cpu_s, records = 0.0, 0
    with open_source(file) as source:
        dialect = resolve_dialect(source.sample(), layout.dialect)
        framed = frame(source.chunks(), dialect)
        reading = Reading(header=framed.header, dialect=dialect, layout=layout)
        for block in framed.blocks:
            identity = identity_of(block, reading)
            began = process_time()
            worked = work_block(block, identity, reading, cache)
            stage_cpu_s += process_time() - began
            records += worked.typed.read
    print(json.dumps({"records": records, "stage_cpu_s": stage_cpu_s, "hits": cache.counts.hits}))


def stop(message: str) -> None:
    """End the program: without its cache it measures something else."""
    raise SystemExit(message)


if __name__ == "__main__":
    main(sys.argv[1], os.environ["TRUNKLINE_REDIS_URL"])
