"""A run loses the session that owns its load, and only that: another run must not work on the load beside it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Event

import pytest

from tests.call_logs import check_books, execute, record, run_on, write_log
from tests.faults import HoldAt, Proxy, Trigger
from trunkline import runner
from trunkline.database.connection import LockSpace
from trunkline.database.retrying import retrying

pytestmark = pytest.mark.filterwarnings("ignore:.*trying again:RuntimeWarning")

OWNERS = (
    f"select pid from pg_locks where locktype = 'advisory' and classid = {LockSpace.LOAD:d}"
    " and database = (select oid from pg_database where datname = current_database())"
)


@pytest.fixture
def source(tmp_path):
    return write_log(tmp_path / "calls.csv", [record(1), record(1), record(2, day=2), "x"])


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch):
    """The waits between attempts are tested elsewhere."""
    monkeypatch.setattr(runner, "retrying", partial(retrying, sleep=lambda _: None))


@contextmanager
def run_held_at(url, words, source):
    """A run that is held back where it says *words*, and whose session with the lock of the load is gone."""
    reached, go_on = Event(), Event()
    with Proxy.before_postgres(url) as proxy, ThreadPoolExecutor() as pool:
        proxy.gate = partial(HoldAt, words, Trigger(), reached, go_on)
        held = pool.submit(run_on, proxy.url, source)
        assert reached.wait(60)
        (owner,) = execute(url, OWNERS)
        execute(url, "select pg_terminate_backend(%s)", owner)
        while execute(url, OWNERS):
            pass
        yield go_on, held
        go_on.set()


@pytest.mark.parametrize("words", [b"insert into trunkline.blocks", b"set sealed = true"])
def test_a_load_that_sessions_still_work_on_is_not_taken_over(database_url, source, words):
    """The other run does not wait for them but begins a load of its own; the first run finds that loaded."""
    with run_held_at(database_url, words, source) as (go_on, held):
        (second,) = run_on(database_url, source)
        go_on.set()
        (first,) = held.result()

    assert (second.status, second.loaded, second.duplicates, second.rejected) == ("loaded", 2, 1, 1)
    assert (first.status, first.load_id) == ("unchanged", second.load_id)
    check_books(database_url)


def test_a_load_that_was_taken_over_gets_nothing_more_from_its_first_run(database_url, source):
    """A worker held before its transaction finds that the load is another's; its run finds it published."""
    with run_held_at(database_url, b"for key share", source) as (go_on, held):
        (second,) = run_on(database_url, source)
        before = execute(database_url, "select id, token, status from trunkline.loads")
        go_on.set()
        (first,) = held.result()

    assert (second.status, second.loaded, second.duplicates, second.rejected) == ("loaded", 2, 1, 1)
    assert (first.status, first.load_id) == ("loaded", second.load_id)
    assert execute(database_url, "select id, token, status from trunkline.loads") == before
    check_books(database_url)
