"""PostgreSQL goes away at every possible moment of a replay: calls are loaded once, and the rejects agree with them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.call_logs import check_books, execute, record, run_on, write_log
from tests.faults import CutAt, DropCommitReply, Gate, Proxy, Trigger
from trunkline import Settings, replaying
from trunkline.books.reading import Which
from trunkline.database.retrying import retrying
from trunkline.servers import open_servers

LAYOUT = Path("src/trunkline/layouts/customer_call_logs.toml")
RECORDS = (record(1), record(2, cost="9.50"), record(3, cost="8.50", day=2), record(4, cost="free"))
NOTHING_REPLAYED = """
delete from customer_call_logs where load_id in (select id from trunkline.loads where replays is not null);
update trunkline.rejects set state = 'open', replayed_by = null, settled_at = null;
delete from trunkline.loads where replays is not null
"""
BOTH_SIDES = """
select (select count(*) from trunkline.rejects where state = 'replayed'),
    (select count(*) from customer_call_logs k join trunkline.loads l on l.id = k.load_id where l.replays is not null),
    (select count(*) from trunkline.loads where replays is not null)
"""


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch):
    """The waits between attempts are tested elsewhere."""
    monkeypatch.setattr(replaying, "retrying", partial(retrying, sleep=lambda _: None))


@pytest.fixture
def loaded_url(database_url, tmp_path):
    """A database with three rejects, of which today's layout reads two."""
    strict = tmp_path / "strict.toml"
    text = LAYOUT.read_text(encoding="utf-8")
    strict.write_text(text.replace('currency = "USD"', 'currency = "USD"\nmax = 5'), encoding="utf-8")
    source = write_log(tmp_path / "calls.csv", RECORDS)
    (books,) = run_on(database_url, source, layout=str(strict))
    assert (books.loaded, books.rejected) == (1, 3)
    return database_url


def replay_through(proxy, gate):
    """Replay all rejects; the faults begin when the servers are open."""
    settings = Settings(database_url=proxy.url, redis_url="none", layout="customer_call_logs")
    proxy.gate = Gate
    with open_servers(settings, {}, warn=lambda _: None) as servers:
        servers.connect().close()  # the session that is open already does not know the gate
        proxy.gate = gate
        return replaying.replay_rejects(Which(), settings, servers)


class Counting(Gate):
    """Counts what the client says, over all connections."""

    total = 0

    def from_client(self, data):
        Counting.total += 1
        return data


def check_replayed_once(url, replayed):
    (one,) = replayed
    assert (one.books.status, one.books.loaded, one.settled) == ("loaded", 2, 2), one.books.reason
    assert one.stay_open_by == {"bad_money": 1}
    assert execute(url, BOTH_SIDES) == [(2, 2, 1)]


def test_a_replay_cut_at_any_message_settles_once(loaded_url):
    """It is cut before each of its messages in turn, and each time it finishes by itself."""
    with Proxy.before_postgres(loaded_url) as proxy:
        Counting.total = 0
        check_replayed_once(loaded_url, replay_through(proxy, Counting))
        assert Counting.total > 30
        for number in range(Counting.total):
            execute(loaded_url, NOTHING_REPLAYED)
            check_replayed_once(loaded_url, replay_through(proxy, partial(CutAt, b"", Trigger(skip=number))))
    check_books(loaded_url)


def test_a_lost_reply_to_a_commit_of_a_replay_doubles_nothing(loaded_url):
    """Each COMMIT in turn happens without its reply; the next attempt asks the database what became of it."""
    with Proxy.before_postgres(loaded_url) as proxy:
        for number in range(20):
            execute(loaded_url, NOTHING_REPLAYED)
            trigger = Trigger(skip=number)
            replayed = replay_through(proxy, partial(DropCommitReply, trigger))
            check_replayed_once(loaded_url, replayed)
            if not trigger.fired:
                break
    assert number > 0


def test_a_replay_that_dies_leaves_everything_as_it_was(loaded_url):
    """As after a kill: no call, no state, no load, nothing staged; and the next one finishes."""
    before = execute(loaded_url, "select id, state, replayed_by from trunkline.rejects order by id")
    with Proxy.before_postgres(loaded_url) as proxy:
        (failed,) = replay_through(proxy, partial(CutAt, b"set state = 'replayed'", Trigger(times=1_000)))
        assert (failed.books.status, failed.settled) == ("failed", 0)
        assert execute(loaded_url, BOTH_SIDES) == [(0, 0, 0)]
        assert execute(loaded_url, "select id, state, replayed_by from trunkline.rejects order by id") == before
        check_books(loaded_url)
        check_replayed_once(loaded_url, replay_through(proxy, Gate))
