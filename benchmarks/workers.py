"""Extraction and transformation of a file and nothing else, by some single-thread processes: with Dask, or without.

python -m benchmarks.workers FILE LAYOUT COUNT dask|plain      (TRUNKLINE_REDIS_URL says where the cache is)
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from time import perf_counter
from typing import TYPE_CHECKING

import pyarrow as pa

from benchmarks.stages import stop
from trunkline.cache.store import DEFAULT_TTL_S, connect_cache
from trunkline.engine import BLOCKS_WAITING, Task, bytes_of, each, framed_source, identity_of, work_block
from trunkline.layout.files import load_layout
from trunkline.sources.source import open_source

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

    from trunkline.blocks import Block


IMPORTED_LATER = ("pandas", "phonenumbers")  # by the first block that needs them


def main(file: str, layout: str, count: int, how: str, redis_url: str) -> None:
    """Print the seconds from the first block to the last, starts of processes left out, and the records."""
    work = {"dask": with_dask, "plain": without_dask}[how]
    seconds, records = work(file, layout, count, redis_url)
    print(json.dumps({"records": records, "work_s": seconds}))


def with_dask(file: str, layout_name: str, count: int, redis_url: str) -> tuple[float, int]:
    """Work on each block as a run does with ``--engine dask``, on *count* workers."""
    import distributed

    from trunkline.dask_engine import CacheAccess, DaskEngine

    access = CacheAccess(url=redis_url, secret=None, ttl_s=DEFAULT_TTL_S)
    engine = DaskEngine(None, workers=count, access=access, cache=connect_cache(redis_url, warn=stop))
    for module in ("trunkline.dask_engine", *IMPORTED_LATER):
        distributed.get_client().run(import_module, module)
    with open_source(file) as source, ThreadPoolExecutor(engine.at_once) as executor:
        framed = framed_source(source, load_layout(layout_name))

        def work(block: Block) -> int:
            return engine.work(Task.of(source, block, framed.reading)).typed.read

        in_work = engine.at_once + BLOCKS_WAITING
        measured = _timed(lambda: sum(each(executor, work, framed.blocks, in_work=in_work, size=bytes_of)))
    engine.close()
    return measured


def without_dask(file: str, layout_name: str, count: int, redis_url: str) -> tuple[float, int]:
    """Let *count* processes that know nothing of each other work on every *count*-th block: what the machine can do."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(count + 1)
    records = context.SimpleQueue()
    processes = [
        context.Process(target=_work_alone, args=(file, layout_name, number, count, redis_url, ready, records.put))
        for number in range(count)
    ]
    for process in processes:
        process.start()
    ready.wait()
    return _timed(lambda: sum(records.get() for _ in processes))


def _work_alone(
    file: str, layout_name: str, number: int, count: int, redis_url: str, ready: Barrier, tell: Callable[[int], None]
) -> None:
    cache = connect_cache(redis_url, warn=stop)
    pa.set_cpu_count(1)  # as Dask has it for a worker of one thread
    for module in IMPORTED_LATER:
        import_module(module)
    with open_source(file) as source:
        framed = framed_source(source, load_layout(layout_name))
        ready.wait()
        tell(
            sum(
                work_block(block, identity_of(block, framed.reading), framed.reading, cache).typed.read
                for position, block in enumerate(framed.blocks)
                if position % count == number
            )
        )


def _timed(work: Callable[[], int]) -> tuple[float, int]:
    began = perf_counter()
    result = work()
    return perf_counter() - began, result


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], os.environ["TRUNKLINE_REDIS_URL"])
