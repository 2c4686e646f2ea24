"""PostgreSQL goes away at every possible moment of a run: every call is loaded once, and the books balance."""

from __future__ import annotations

from contextlib import closing, contextmanager
from functools import partial

import psycopg2
import pytest

from tests.faults import CutAt, DropCommitReply, Gate, Proxy, Trigger
from trunkline import runner
from trunkline.database.retrying import ATTEMPTS, retrying
from trunkline.progress import Watch
from trunkline.servers import open_servers
from trunkline.settings.model import Settings

RECORDS = """customer_id,call_cost,call_destination,call_date,call_duration
1001,$1.20,Nairobi,2022-01-01 10:00:00,00:05:30
1002,$2.50,Mombasa,2022-01-01 10:05:00,00:08:15
1002,$2.50,Mombasa,2022-01-01 10:05:00,00:08:15
1003,free,Nakuru,2022-01-01 10:10:00,00:03:45
1001,$1.80,Kisumu,2022-01-02 09:30:00,00:10:30
1001,$1.90,Kisumu,2022-01-02 09:30:00,00:10:30
"""
EXPECTED = {"read": 6, "loaded": 3, "duplicates": 1, "rejected": 2, "conflicts": 1}
EMPTY_BOOKS = "drop table if exists customer_call_logs cascade; truncate trunkline.loads, trunkline.call_tables cascade"


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "calls.csv"
    file.write_text(RECORDS)
    return str(file)


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch):
    """The waits between attempts are tested elsewhere."""
    monkeypatch.setattr(runner, "retrying", partial(retrying, sleep=lambda _: None))


@contextmanager
def servers_at(url):
    settings = Settings(database_url=url, redis_url="none", layout="customer_call_logs", workers=2)
    with open_servers(settings, {}, warn=lambda _: None) as servers:
        servers.connect().close()  # the session that is open already does not know the gate to come
        yield settings, servers


def run_through(url, source):
    with servers_at(url) as (settings, servers):
        return runner.run_sources([source], settings, servers, progress=Watch(visible=False))[0]


def execute(url, statement):
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
        connection.commit()
        return rows


def check_loaded_once(url, books):
    """The account is right, and so is what the database holds: three calls, one load, nothing staged or open."""
    assert {name: getattr(books, name) for name in EXPECTED} == EXPECTED, books.reason
    assert books.status == "loaded"
    assert execute(url, "select count(*), sum(cost)::text, sum(duration_s) from customer_call_logs") == [
        (3, "5.500000", 330 + 495 + 630)
    ]
    assert execute(url, "select count(*) from trunkline.loads where status = 'loaded'") == [(1,)]
    assert execute(url, "select count(*) from trunkline.rejects") == [(2,)]


class CountMessages(Gate):
    """Counts what the client says, over all connections."""

    total = 0

    def from_client(self, data):
        CountMessages.total += 1
        return data


def test_a_connection_cut_at_any_message_costs_nothing(database_url, source):
    """The run is cut before each of its messages in turn, and each time it finishes the job by itself."""
    with Proxy.before_postgres(database_url) as proxy:
        CountMessages.total = 0
        with servers_at(proxy.url) as (settings, servers):
            proxy.gate = CountMessages
            runner.run_sources([source], settings, servers, progress=Watch(visible=False))
        assert CountMessages.total > 50
        for number in range(CountMessages.total):
            execute(database_url, EMPTY_BOOKS)
            trigger = Trigger(skip=number)
            proxy.gate = Gate
            with servers_at(proxy.url) as (settings, servers):
                proxy.gate = partial(CutAt, b"", trigger)
                (books,) = runner.run_sources([source], settings, servers, progress=Watch(visible=False))
            check_loaded_once(database_url, books)


def test_a_lost_reply_to_any_commit_doubles_nothing(database_url, source):
    """Each COMMIT in turn happens without its reply; the run finds out what the database knows."""
    with Proxy.before_postgres(database_url) as proxy:
        for number in range(100):
            execute(database_url, EMPTY_BOOKS)
            trigger = Trigger(skip=number)
            proxy.gate = Gate
            with servers_at(proxy.url) as (settings, servers):
                proxy.gate = partial(DropCommitReply, trigger)
                (books,) = runner.run_sources([source], settings, servers, progress=Watch(visible=False))
            if not trigger.fired:
                break
            check_loaded_once(database_url, books)
    assert number > 5


def test_a_server_that_stays_away_fails_and_a_later_run_finishes(database_url, source):
    """One clear account, nothing half loaded; the blocks that were staged are not lost."""
    with Proxy.before_postgres(database_url) as proxy, servers_at(proxy.url) as (settings, servers):
        proxy.gate = partial(CutAt, b"lock table", Trigger(times=1_000))
        (failed,) = runner.run_sources([source], settings, servers, progress=Watch(visible=False))
    assert failed.status == "failed"
    assert execute(database_url, "select count(*) from customer_call_logs") == [(0,)]

    check_loaded_once(database_url, run_through(database_url, source))


def test_another_source_is_not_waited_for_as_long(database_url, source, monkeypatch):
    """Where PostgreSQL stayed away for one source, the next asks once."""
    asked = []

    def once(*, attempts, on_retry):
        asked.append(attempts)
        return retrying(attempts=1, on_retry=on_retry)

    monkeypatch.setattr(runner, "retrying", once)
    with (
        Proxy.before_postgres(database_url) as proxy,
        servers_at(proxy.url) as (settings, servers),
        proxy.refusing(),
    ):
        books = runner.run_sources([source, source], settings, servers, progress=Watch(visible=False))

    assert [each.status for each in books] == ["failed", "failed"]
    assert asked == [ATTEMPTS, 1]
