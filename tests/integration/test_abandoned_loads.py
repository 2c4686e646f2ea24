"""Loads that were begun and that nobody goes on with: they are given up, and those in work are not."""

from __future__ import annotations

from contextlib import closing, contextmanager

import psycopg2
import pytest

from tests.call_logs import check_books, execute, record, run_on, write_log
from tests.faults import CutAt, Proxy, Trigger
from trunkline.books.writing import own_load
from trunkline.loading import leftovers

OPEN = "select status, reason from trunkline.loads where id = %s"
ANOTHER_BLOCK = """
insert into trunkline.blocks (
    load_id, position, first_byte, bytes, first_line, lines, content_hash, read, typed, rejected, filtered, totals
)
select load_id, position + 1, first_byte + bytes, bytes, first_line + lines, lines, 'x', 1, 1, 0, 0, totals
from trunkline.blocks where load_id = %s
"""
OWNED = """
select count(*) from pg_locks
where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
"""
STAGED = "select count(*) from pg_tables where schemaname = 'trunkline_staging'"


@pytest.fixture
def left_behind(database_url, tmp_path):
    """Return a function that leaves a load of these records behind: its connections are cut before it publishes."""

    def leave(*records, name="left.csv", **settings):
        source = write_log(tmp_path / name, records)
        with Proxy.before_postgres(database_url) as proxy:
            proxy.gate = lambda: CutAt(b"lock table", Trigger(times=1_000))
            (books,) = run_on(proxy.url, source, **settings)
        assert books.status == "failed"
        while execute(database_url, OWNED) != [(0,)]:  # until the server has noticed that the connections were cut
            pass
        return execute(database_url, "select max(id) from trunkline.loads where status = 'running'")[0][0]

    return leave


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch):
    """One attempt: the waits between attempts are tested elsewhere."""
    monkeypatch.setattr("trunkline.runner.ATTEMPTS", 1)


@contextmanager
def owner_of(url, load_id):
    """Another run that works on a load, as far as the database knows."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        assert own_load(cursor, load_id)
        yield


def make_old(url, days):
    execute(url, "update trunkline.loads set started_at = started_at - make_interval(days => %s)", [days])


def run_other(url, tmp_path):
    """Run another source, whose day nobody else has."""
    return run_on(url, write_log(tmp_path / "other.csv", [record(1, day=9)]))[0]


def test_what_was_left_for_a_week_is_given_up(database_url, left_behind, tmp_path):
    """By the run of any source; the books say what became of it, and nothing stays staged."""
    load_id = left_behind(record(1), "x")
    make_old(database_url, 8)
    assert execute(database_url, STAGED) != [(0,)]
    run_other(database_url, tmp_path)

    assert execute(database_url, OPEN, [load_id]) == [("failed", "given up: nobody went on with it for 7 days")]
    check_books(database_url)


def test_what_was_left_since_yesterday_is_kept(database_url, left_behind, tmp_path):
    """Its next run goes on with it: under the same number, and its block is not staged again."""
    load_id = left_behind(record(1), "x")
    make_old(database_url, 1)
    run_other(database_url, tmp_path)
    assert execute(database_url, OPEN, [load_id]) == [("running", None)]
    (books,) = run_on(database_url, str(tmp_path / "left.csv"))

    assert (books.status, books.load_id, books.loaded, books.rejected) == ("loaded", load_id, 1, 1)
    check_books(database_url)


def test_what_is_in_work_is_kept(database_url, left_behind, tmp_path):
    """However old: who works on it holds its lock."""
    load_id = left_behind(record(1))
    make_old(database_url, 8)
    with owner_of(database_url, load_id):
        run_other(database_url, tmp_path)

    assert execute(database_url, OPEN, [load_id]) == [("running", None)]


def test_what_a_lost_session_still_locks_is_kept_for_later(database_url, left_behind, tmp_path):
    """The run that clears up does not wait for it, and loads its own source."""
    load_id = left_behind(record(1))
    make_old(database_url, 8)
    with closing(psycopg2.connect(database_url)) as stuck, stuck.cursor() as cursor:
        cursor.execute(f"select from trunkline_staging.l{load_id}_aside")
        assert run_other(database_url, tmp_path).status == "loaded"
        assert execute(database_url, OPEN, [load_id]) == [("running", None)]
    run_other(database_url, tmp_path)

    check_books(database_url)


def test_no_more_than_a_few_are_given_up_at_once(database_url, left_behind, tmp_path, monkeypatch):
    """Clearing up does not hold up the run; the oldest come first."""
    monkeypatch.setattr(leftovers, "MOST_AT_ONCE", 1)
    for name in ("first.csv", "second.csv"):
        left_behind(record(1), name=name)
    make_old(database_url, 8)

    for expected in (["failed", "running"], ["failed", "failed"]):
        run_other(database_url, tmp_path)
        statuses = execute(
            database_url,
            "select status from trunkline.loads where reason is not null or published_seq is null order by id",
        )
        assert [status for (status,) in statuses] == expected


def test_what_was_left_of_a_content_that_is_loaded_is_removed(database_url, left_behind, tmp_path):
    """Under another name it was loaded meanwhile: nobody will ever go on with it."""
    left_behind(record(1), name="copy.csv")
    source = write_log(tmp_path / "calls.csv", [record(1)])
    loaded, again = run_on(database_url, source, source)

    assert (loaded.status, again.status) == ("loaded", "unchanged")
    assert execute(database_url, "select count(*) from trunkline.loads") == [(1,)]
    check_books(database_url)


def test_blocks_that_the_source_does_not_have_are_not_taken_over(database_url, left_behind, tmp_path, monkeypatch):
    """Where blocks end depends on the load before, which may be another when the source is tried again."""
    records = [record(1), record(2), "x"]
    load_id = left_behind(*records)
    monkeypatch.setattr("trunkline.runner.ATTEMPTS", 2)
    execute(database_url, ANOTHER_BLOCK, [load_id])
    with pytest.warns(RuntimeWarning, match="left blocks that the source does not have; trying again"):
        (books,) = run_on(database_url, write_log(tmp_path / "left.csv", records))

    assert (books.status, books.read, books.loaded, books.rejected) == ("loaded", 3, 2, 1)
    assert execute(database_url, OPEN, [load_id])[0][0] == "failed"
    check_books(database_url)
