"""Several runs at once, brought to the same point by a lock: every call once, books balanced, readers undisturbed."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from threading import Event

import psycopg2
import pytest

from tests.call_logs import check_books, execute, record, run_on, write_log
from tests.faults import HoldAt, Proxy, Trigger
from trunkline.database.connection import LockSpace
from trunkline.layout.files import load_layout
from trunkline.loading import publishing
from trunkline.loading.tables import ensure_call_table

pytestmark = pytest.mark.filterwarnings("ignore:waiting for another session")

WAITING = """
select count(*) from pg_locks
where not granted and database = (select oid from pg_database where datname = current_database())
"""
TURN = "lock table customer_call_logs in share update exclusive mode"
MAKING = f"select pg_advisory_xact_lock({LockSpace.BOOKS:d}, 1)"


@contextmanager
def session(url, statement):
    """A session that has executed *statement* and is still in its transaction."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        yield cursor


def run_at_once(url, sources, *, behind):
    """Run each source in a run of its own; all wait behind the lock that a statement takes before any goes on."""
    with ThreadPoolExecutor(len(sources)) as pool:
        with session(url, behind):
            runs = [pool.submit(run_on, url, source) for source in sources]
            while execute(url, WAITING) != [(len(sources),)]:
                pass
        return [books for run in runs for books in run.result()]


@pytest.fixture
def call_table(each_loadable_url, tmp_path):
    """The call table, with a call of one day that no test touches."""
    run_on(each_loadable_url, write_log(tmp_path / "before.csv", [record(1, day=28)]))
    return each_loadable_url


def test_of_runs_of_one_source_one_loads_it(call_table, tmp_path):
    """The others find it unchanged, under its number; what they staged is gone."""
    source = write_log(tmp_path / "calls.csv", [record(1), record(1), "x", record(2, day=2)])
    books = run_at_once(call_table, [source] * 4, behind=TURN)

    assert Counter(each.status for each in books) == {"loaded": 1, "unchanged": 3}
    assert len({each.load_id for each in books}) == 1
    assert [(each.loaded, each.duplicates, each.rejected) for each in books] == [(2, 1, 1)] * 4
    check_books(call_table)


def test_overlapping_sources_bring_each_call_once(call_table, tmp_path):
    """Four sources of four calls each, shifted by two, into the same new partitions: ten calls, six duplicates."""
    sources = [
        write_log(tmp_path / f"{n}.csv", [record(call, day=1 + call % 2) for call in range(2 * n, 2 * n + 4)])
        for n in range(4)
    ]
    books = run_at_once(call_table, sources, behind=TURN)

    assert {each.status for each in books} == {"loaded"}
    assert (sum(each.loaded for each in books), sum(each.duplicates for each in books)) == (10, 6)
    assert execute(call_table, "select count(*) from customer_call_logs") == [(1 + 10,)]
    check_books(call_table)


def test_corrections_at_once_end_as_one_after_the_other(call_table, tmp_path):
    """Of three values of one call, one is kept; the others are conflicts that name its load."""
    sources = [write_log(tmp_path / f"{cost}.csv", [record(1, cost=cost)]) for cost in ("1.00", "2.00", "3.00")]
    books = run_at_once(call_table, sources, behind=TURN)
    (kept,) = [each.load_id for each in books if each.loaded]

    assert sorted((each.loaded, each.conflicts) for each in books) == [(0, 1), (0, 1), (1, 0)]
    assert execute(call_table, "select distinct kept_load_id from trunkline.rejects") == [(kept,)]
    check_books(call_table)


def test_first_runs_at_once_make_one_call_table(each_loadable_url, tmp_path):
    """None fails because another was quicker."""
    sources = [write_log(tmp_path / f"{n}.csv", [record(n)]) for n in range(3)]
    books = run_at_once(each_loadable_url, sources, behind=MAKING)

    assert [(each.status, each.loaded) for each in books] == [("loaded", 1)] * 3
    check_books(each_loadable_url)


def test_reloads_at_once_replace_one_after_the_other(call_table, tmp_path):
    """Each names the load that it replaced, and only the last is left."""
    source = write_log(tmp_path / "calls.csv", [record(1), record(2)])
    (first,) = run_on(call_table, source)
    with ThreadPoolExecutor(2) as pool, session(call_table, TURN) as turn:
        runs = [pool.submit(run_on, call_table, source, reload=True) for _ in range(2)]
        while execute(call_table, WAITING) != [(2,)]:
            pass
        turn.connection.rollback()
        reloads = {run.result()[0].load_id for run in runs}
    chain = execute(
        call_table,
        "select id, reloads, superseded_by from trunkline.loads where id >= %s order by published_seq",
        [first.load_id],
    )

    second, third = (load_id for load_id, _, _ in chain[1:])
    assert {second, third} == reloads
    assert chain == [(first.load_id, None, second), (second, first.load_id, third), (third, second, None)]
    check_books(call_table)


def test_readers_go_on_while_a_load_is_published(call_table, tmp_path):
    """One partition attached, another merged, nothing committed: they see what was there before."""
    reached, go_on = Event(), Event()
    source = write_log(tmp_path / "calls.csv", [record(2, day=28), record(1, day=2)])
    with ThreadPoolExecutor() as pool, Proxy.before_postgres(call_table) as proxy:
        proxy.gate = partial(HoldAt, b"status = 'loaded',", Trigger(), reached, go_on)
        run = pool.submit(run_on, proxy.url, source)
        assert reached.wait(60)
        with session(call_table, "set lock_timeout = '1s'") as reader:
            for relation in ("customer_call_logs", "customer_call_logs_20220128", "trunkline.calls"):
                reader.execute(f"select count(*) from {relation}")
                assert reader.fetchall() == [(1,)]
        go_on.set()

        assert run.result()[0].loaded == 2


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_a_load_does_not_wait_for_readers(call_table, tmp_path, isolation):
    """They are in the middle of a transaction, with rows of the table, its partition and the view."""
    with session(call_table, f"set transaction isolation level {isolation}") as reader:
        for relation in ("customer_call_logs", "customer_call_logs_20220128", "trunkline.calls"):
            reader.execute(f"select count(*) from {relation}")
        reader.execute("declare calls cursor for select * from customer_call_logs")
        source = write_log(tmp_path / "calls.csv", [record(2, day=28), record(1, day=2)])
        (books,) = run_on(call_table, source)
        (again,) = run_on(call_table, source, reload=True)
        reader.execute("fetch all from calls")

        assert (books.loaded, again.loaded, len(reader.fetchall())) == (2, 2, 1)


def test_a_load_waits_for_its_turn_and_says_so(call_table, tmp_path, monkeypatch, recwarn):
    """A session that writes for long does not make it fail."""
    monkeypatch.setattr(publishing, "QUIET_PATIENCE", "1ms")
    source = write_log(tmp_path / "calls.csv", [record(1)])
    with ThreadPoolExecutor(1) as pool:
        with session(call_table, TURN):
            run = pool.submit(run_on, call_table, source)
            while not recwarn.list and not run.done():
                pass
        (books,) = run.result()

    assert books.status == "loaded"
    assert [str(one.message) for one in recwarn] == [
        "waiting for another session that writes to public.customer_call_logs"
    ]


def test_in_its_turn_a_load_waits_little_for_anything_else(call_table):
    """Others wait meanwhile; however long it waited for its turn."""
    with closing(psycopg2.connect(call_table)) as connection, connection.cursor() as cursor:
        publishing.take_turn(cursor, ensure_call_table(cursor, load_layout("customer_call_logs")), warn=pytest.fail)
        cursor.execute("show lock_timeout")

        assert cursor.fetchall() == [(publishing.IN_TURN,)]


def test_a_load_does_not_wait_for_ever(call_table, tmp_path, monkeypatch):
    """It fails with what to do about it, keeps what it staged, and is finished by the next run."""
    monkeypatch.setattr(publishing, "QUIET_PATIENCE", "1ms")
    monkeypatch.setattr(publishing, "PATIENCE", "2ms")
    monkeypatch.setattr("trunkline.runner.ATTEMPTS", 1)
    source = write_log(tmp_path / "calls.csv", [record(1)])
    with session(call_table, TURN):
        (failed,) = run_on(call_table, source)
    (books,) = run_on(call_table, source)

    assert failed.status == "failed"
    assert str(failed.reason).startswith(
        "another session has been writing to public.customer_call_logs for more than 2ms; end it, if it is"
    )
    assert books.status == "loaded"
    check_books(call_table)
