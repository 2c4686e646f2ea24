"""The Dask engine: workers, on this machine or on others, read the source themselves and turn its blocks into calls.

They share the cache, and hand back what is not in it.  What is staged and published stays with the run, so that
key and transaction are PostgreSQL's, whoever did the work and however often: a worker that dies has lost nothing.
Tasks travel as Dask sends them, pickled: a cluster is trusted as the run itself is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from threading import Semaphore
from typing import TYPE_CHECKING

from trunkline import __version__
from trunkline.blocks import Block
from trunkline.books.writing import Costs
from trunkline.cache.store import connect_cache
from trunkline.cache.values import DIGEST_BYTES, pack_typed, unpack_typed
from trunkline.engine import Reading, WorkedBlock, identity_of, work_block
from trunkline.errors import EngineError, SourceChangedError, SourceError, TrunklineError
from trunkline.sources.naming import is_url, shown

try:
    import dask.config
    import distributed
except ImportError as error:
    raise EngineError("Dask is not installed", hint="pip install 'trunkline[dask]'") from error

if TYPE_CHECKING:
    from trunkline.cache.port import BlockCache
    from trunkline.engine import Task

_CONNECT_S = 10
MOST_AT_ONCE = 64  # blocks that wait for workers are held in memory
LOOKED_FOR_AT_ONCE = 4  # values of a few MiB, which a network has to bring in the time that one command may take
# Dask has glibc give memory back above 64 KiB, and whoever sets that also has it take arrays from 128 KiB on from the
# system each time, and give them back at once.  Each block then takes its memory page by page: a third of the work.
_MEMORY_KEPT = {
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 1 << 28,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 1 << 25,
}
# Scheduler, run, nannies and workers of a cluster of our own share the cores of this machine with the work, and nobody
# looks at what they show of themselves: to note it 50 and 100 times a second took a tenth of the time.
_LITTLE_NOTED = {
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.profile.enabled": False,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheAccess:
    """How workers reach the cache; *url* None for none."""

    url: str | None
    secret: str | None
    ttl_s: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SentTask:
    """
    A block to be worked on by a worker.

    Attributes:
        location: Where the worker reads its bytes; None where *block* has them.
        length: How many they are.
        through_cache: The run can find in the cache what the worker puts there.
    """

    version: str
    location: str | None
    block: Block
    length: int
    identity: str
    reading: Reading
    cache: CacheAccess
    through_cache: bool


class DaskEngine:
    """Blocks on a Dask cluster; close it to let go of the cluster, and to end one that was started for this run."""

    def __init__(self, address: str | None, *, workers: int, access: CacheAccess, cache: BlockCache) -> None:
        """
        Connect to a scheduler.

        Args:
            address: As Dask writes it, ``tcp://HOST:PORT`` or ``tls://HOST:PORT``; None starts a cluster of *workers*
                processes on this machine.
            workers: See there.
            access: How workers reach the cache.
            cache: The run's own: what workers put there is looked for in it.

        Raises:
            EngineError: If nobody answers, or no worker is there.
        """
        self._access = access
        self._cache = cache
        self._through_cache = access.url is not None
        self._looking = Semaphore(LOOKED_FOR_AT_ONCE)
        with _understood():
            if address is None:
                with dask.config.set(_MEMORY_KEPT | _LITTLE_NOTED):
                    cluster = distributed.LocalCluster(
                        n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0"
                    )
                self._client = distributed.Client(cluster)
            else:
                cluster = None
                self._client = distributed.Client(address, timeout=_CONNECT_S)
        self._cluster = cluster
        self._executor = self._client.get_executor(pure=False)
        threads = sum(self._client.nthreads().values())
        if not threads:
            self.close()
            raise EngineError("found a Dask scheduler without workers", hint="start some: dask worker ADDRESS")
        self.at_once = min(MOST_AT_ONCE, threads + 1)  # one that is staged while the workers work

    def work(self, task: Task) -> WorkedBlock:
        """
        Return the typed calls of a block, worked on by whichever worker is free.

        Raises:
            EngineError: If the cluster is gone, or the task took one worker after the other with it.
            SourceError: If a worker cannot read the source.
        """
        block, reading = task.block, task.reading
        location = None if reading.dialect.wide else task.source.location
        sent = SentTask(
            version=__version__,
            location=location,
            block=block if location is None else _without_bytes(block),
            length=len(block.data),
            identity=task.identity,
            reading=reading,
            cache=self._access,
            through_cache=self._through_cache,
        )
        with _understood():
            packed, costs = self._executor.submit(work_task, sent).result()
        if packed is not None:
            return WorkedBlock(typed=unpack_typed(memoryview(packed)), costs=costs)
        with self._looking:
            worked = work_block(block, task.identity, reading, self._cache)
        if worked.costs.cache.misses:  # evicted, or not the same cache: worked out here, and the rest is handed back
            self._through_cache = False
            costs += worked.costs
        return WorkedBlock(typed=worked.typed, costs=costs)

    def work_each(self, tasks: Sequence[Task]) -> list[WorkedBlock]:
        """Return the typed calls of each of some blocks; workers take them one by one."""
        return [self.work(task) for task in tasks]

    def close(self) -> None:
        """Let go of the cluster; one that was started for this run ends."""
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def _without_bytes(block: Block) -> Block:
    return Block(
        position=block.position, first_byte=block.first_byte, first_line=block.first_line, data=b"", lines=block.lines
    )


@contextmanager
def _understood() -> Iterator[None]:
    """Translate what Dask raises; our own errors come back from workers as they are."""
    try:
        yield
    except TrunklineError:
        raise
    except Exception as error:
        raise EngineError(
            f"Dask: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}",
            hint="see that scheduler and workers run, and run the same again: what is loaded stays loaded once",
        ) from error


def work_task(task: SentTask) -> tuple[bytes | None, Costs]:
    """
    Return the typed calls of a block, packed, or None where the run finds them in the cache, and what they cost.

    Called on workers.

    Raises:
        EngineError: If the worker has another version of this program.
        SourceError: If it cannot read the source.
        SourceChangedError: If what it reads there is not the block.
    """
    if task.version != __version__:
        raise EngineError(
            f"found trunkline {__version__} on a Dask worker, expected {task.version}",
            hint="install the same version on all",
        )
    block = task.block if task.location is None else _fetched(task, task.location)
    if identity_of(block, task.reading) != task.identity:
        raise SourceChangedError(
            "changed while it was read, or is another file where a worker runs", where=shown(task.location or "")
        )
    worked = work_block(block, task.identity, task.reading, _cache(task.cache))
    if worked.cached and task.through_cache:
        return None, worked.costs
    return bytes(pack_typed(worked.typed, "lz4")[DIGEST_BYTES:]), worked.costs


def _fetched(task: SentTask, location: str) -> Block:
    block = task.block
    return Block(
        position=block.position,
        first_byte=block.first_byte,
        first_line=block.first_line,
        data=_read_range(location, block.first_byte, task.length),
        lines=block.lines,
    )


def _read_range(location: str, first: int, length: int) -> bytes:
    try:
        if is_url(location):
            import fsspec

            with fsspec.open(location, "rb") as file:
                file.seek(first)
                return bytes(file.read(length))
        with open(location, "rb") as file:  # noqa: PTH123 - a path of any kind
            file.seek(first)
            return file.read(length)
    except OSError as error:
        raise SourceError(
            f"a Dask worker cannot read it: {error.strerror or type(error).__name__}",
            where=shown(location),
            hint="put it where all workers can read it: shared or object storage",
        ) from error


@lru_cache(maxsize=4)
def _cache(access: CacheAccess):  # type: ignore[no-untyped-def]
    return connect_cache(access.url, secret=access.secret, ttl_s=access.ttl_s, warn=lambda _: None)
