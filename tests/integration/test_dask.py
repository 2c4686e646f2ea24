"""Blocks worked on by Dask workers: the same calls, books and errors, whoever did the work and what became of them."""

import os
import signal
from threading import Event

import distributed
import pytest

from tests.call_logs import HEADER, check_books, execute, record, run_on, write_log
from trunkline import Settings, run
from trunkline.cache.store import connect_cache
from trunkline.engine import work_block
from trunkline.framing.borders import BlockSizes

CALLS = [record(number, day=1 + number // 500) for number in range(1_500)]


@pytest.fixture(scope="module")
def cluster():
    """Two workers of one thread each."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50
    ) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr("trunkline.framing.borders.BLOCK_SIZES", BlockSizes(least=4_096, usual=8_192, most=16_384))


def engine_of(cluster):
    return cluster.scheduler_address.replace("tcp://", "dask://")


def test_workers_make_the_same_calls(database_url, redis_url, cluster, tmp_path):
    """Rejects with their bytes included; the workers share the cache with a run that has none."""
    path = write_log(tmp_path / "calls.csv", [*CALLS[:700], "no call", *CALLS[700:]])
    (books,) = run_on(database_url, path, engine=engine_of(cluster), redis_url=redis_url)
    loaded = execute(database_url, "select * from customer_call_logs order by source_line")
    (raw,) = execute(database_url, "select raw from trunkline.rejects")[0]
    execute(
        database_url, "drop table customer_call_logs cascade; truncate trunkline.loads, trunkline.call_tables cascade"
    )
    (again,) = run_on(database_url, path, redis_url=redis_url)

    assert (books.status, books.read, books.loaded, books.rejected) == ("loaded", 1_501, 1_500, 1)
    assert bytes(raw) == b"no call"
    assert books.cache.misses > 3
    assert (again.cache.hits, again.cache.misses) == (books.cache.misses // 2, 0)
    without_load = [row[:-3] + row[-2:] for row in loaded]
    found = execute(database_url, "select * from customer_call_logs order by source_line")
    assert [row[:-3] + row[-2:] for row in found] == without_load


def test_what_workers_put_into_the_cache_is_found_there(database_url, redis_url, cluster, tmp_path, monkeypatch):
    """Nothing comes back through Dask."""
    unpacked: list[memoryview] = []
    monkeypatch.setattr("trunkline.dask_engine.unpack_typed", unpacked.append)
    (books,) = run_on(
        database_url, write_log(tmp_path / "calls.csv", CALLS), engine=engine_of(cluster), redis_url=redis_url
    )

    assert (books.status, books.reason, books.loaded, unpacked) == ("loaded", None, 1_500, [])
    assert books.cache.hits == 0
    check_books(database_url)


def test_a_run_that_reaches_another_cache_than_its_workers_loads_all(
    database_url, redis_url, cluster, tmp_path, monkeypatch
):
    """What it does not find there it works out itself, once; from then on workers hand all back."""
    asked = []

    def work_here(*arguments):
        asked.append(arguments)
        return work_block(*arguments)

    monkeypatch.setattr("trunkline.dask_engine.work_block", work_here)
    monkeypatch.setattr(
        "trunkline.cache.store.connect_cache",
        lambda *_, **__: connect_cache("redis://127.0.0.1:9", warn=lambda _: None),
    )
    (books,) = run_on(
        database_url, write_log(tmp_path / "calls.csv", CALLS), engine=engine_of(cluster), redis_url=redis_url
    )

    assert (books.status, books.reason, books.loaded) == ("loaded", None, 1_500)
    assert 1 <= len(asked) <= 3  # blocks that were in work before the first was missed
    check_books(database_url)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marked_and_wide_sources_are_read_as_by_threads(database_url, cluster, tmp_path, encoding):
    """Of a wide one the bytes are sent, since blocks are not in it as they are."""
    path = tmp_path / "calls.csv"
    path.write_text("\n".join((HEADER, *CALLS, "")), encoding=encoding)
    (books,) = run_on(database_url, str(path), engine=engine_of(cluster))

    assert (books.status, books.reason, books.loaded) == ("loaded", None, 1_500)
    check_books(database_url)


def test_a_worker_that_is_killed_loses_and_doubles_nothing(database_url, cluster, tmp_path, monkeypatch):
    """Another one takes over what it had, and a new one comes in its place."""
    from trunkline import dask_engine

    killed = Event()
    stage = dask_engine.DaskEngine.work

    def work(self, task):
        if not killed.is_set():
            killed.set()
            os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        return stage(self, task)

    monkeypatch.setattr(dask_engine.DaskEngine, "work", work)
    (books,) = run_on(database_url, write_log(tmp_path / "calls.csv", CALLS), engine=engine_of(cluster))

    assert killed.is_set()
    assert (books.status, books.loaded, books.duplicates) == ("loaded", 1_500, 0)
    check_books(database_url)


def test_a_source_that_workers_cannot_read_is_said(database_url, cluster, tmp_path, monkeypatch):
    """With the next step; nothing of it is loaded."""
    monkeypatch.setattr("trunkline.sources.stored.Stored.location", "/nowhere/calls.csv", raising=False)
    path = write_log(tmp_path / "calls.csv", CALLS)
    monkeypatch.setattr("trunkline.sources.source.Source.location", "/nowhere/calls.csv")
    (books,) = run_on(database_url, path, engine=engine_of(cluster))

    assert books.status == "failed"
    assert books.reason == (
        "/nowhere/calls.csv: a Dask worker cannot read it: No such file or directory; "
        "put it where all workers can read it: shared or object storage"
    )


def test_a_scheduler_that_is_not_there_is_said(database_url, tmp_path, monkeypatch):
    """The source failed, and the next step is named."""
    monkeypatch.setattr("trunkline.dask_engine._CONNECT_S", 0.2)
    (books,) = run_on(database_url, write_log(tmp_path / "calls.csv", CALLS), engine="dask://127.0.0.1:9")

    assert books.status == "failed"
    assert str(books.reason).startswith("Dask: OSError: ")


def test_a_run_may_have_a_cluster_of_its_own(database_url, tmp_path):
    """Which ends with it."""
    settings = Settings(
        database_url=database_url, redis_url="none", layout="customer_call_logs", engine="dask", workers=1
    )
    (books,) = run([write_log(tmp_path / "calls.csv", CALLS)], settings)

    assert (books.status, books.reason, books.loaded) == ("loaded", None, 1_500)
