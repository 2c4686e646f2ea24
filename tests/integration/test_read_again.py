"""A source is read again as a whole, after a correction or with --reload: what becomes of its rejects of before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.call_logs import check_books, execute, record, run_on, write_log
from trunkline import Settings
from trunkline.books.reading import Which
from trunkline.replaying import replay_rejects
from trunkline.servers import open_servers

LAYOUT = Path("src/trunkline/layouts/customer_call_logs.toml")
STATES = "select load_id, source_line, state, replayed_by, note from trunkline.rejects order by load_id, source_line"
HOURS = "select customer_id, extract(hour from started_at at time zone 'UTC')::int from customer_call_logs order by 1"


@pytest.fixture
def source(tmp_path):
    """A call, one that the strict layout finds too dear, and one that nobody can read."""
    return write_log(tmp_path / "calls.csv", [record(1), record(2, cost="9.50"), record(3, cost="free")])


def own_layout(tmp_path, old, new):
    """Write the reference layout with a change, under its own name."""
    text = LAYOUT.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return str(path)


@pytest.fixture
def strict(tmp_path):
    """The layout with a mistake: no call may be dearer than 5 USD."""
    return own_layout(tmp_path, 'currency = "USD"', 'currency = "USD"\nmax = 5')


def replay(url, *, warn=None, layout="customer_call_logs", **filters):
    settings = Settings(database_url=url, redis_url="none", layout=layout)
    told: list[str] = []
    with open_servers(settings, {}, warn=warn or told.append) as servers:
        return replay_rejects(Which(**filters), settings, servers)


def test_the_same_file_with_a_corrected_layout_settles_its_rejects(database_url, source, strict):
    """What is loaded now points at the new load; what is rejected again is open there, and only there."""
    (first,) = run_on(database_url, source, layout=strict)
    (second,) = run_on(database_url, source)

    assert (first.rejected, second.loaded, second.duplicates, second.rejected) == (2, 1, 1, 1)
    assert execute(database_url, STATES) == [
        (first.load_id, 3, "replayed", second.load_id, None),
        (first.load_id, 4, "discarded", None, f"rejected again by load {second.load_id}"),
        (second.load_id, 4, "open", None, None),
    ]
    check_books(database_url)


def test_rejects_of_a_refused_source_are_not_replayed_but_run_again(database_url, source, strict):
    """The replay names the next step; that step settles them."""
    (refused,) = run_on(database_url, source, layout=strict, max_rejects="1")
    (named,) = replay(database_url, load=refused.load_id)
    told: list[str] = []

    assert (named.books.status, named.sent) == ("refused", 0)
    assert (
        f"nothing of its source is in the table, so that its rejects are not loaded without it; correct the "
        f"layout or the file, and run it again: trunkline run {source}" in str(named.books.reason)
    )
    assert replay(database_url, warn=told.append) == []
    assert told == ["2 open rejects are of sources that were refused; run those again instead"]
    (again,) = run_on(database_url, source)
    assert again.loaded == 2
    assert [row[2:4] for row in execute(database_url, STATES)] == [
        ("replayed", again.load_id),
        ("discarded", None),
        ("open", None),
    ]


def test_other_content_settles_nothing(database_url, source, strict, tmp_path):
    """A corrected file is another source: nobody can tell that its records were meant."""
    run_on(database_url, source, layout=strict)
    run_on(database_url, write_log(tmp_path / "b.csv", [record(2, cost="9.50")]))

    assert {row[2] for row in execute(database_url, STATES)} == {"open"}


def test_a_reload_takes_what_replays_brought_with_it(database_url, source, strict):
    """In another zone, calls that came by a replay get the other time, too, instead of standing in the way."""
    (first,) = run_on(database_url, source, layout=strict)
    (replayed,) = replay(database_url)
    assert execute(database_url, HOURS) == [(1001, 5), (1002, 5)]
    (reloaded,) = run_on(database_url, source, timezone="UTC", reload=True)

    assert (reloaded.status, reloaded.loaded) == ("loaded", 2), reloaded.reason
    assert execute(database_url, HOURS) == [(1001, 8), (1002, 8)]
    assert execute(database_url, "select id, reloads, superseded_by from trunkline.loads order by id") == [
        (first.load_id, None, reloaded.load_id),
        (replayed.books.load_id, None, reloaded.load_id),
        (reloaded.load_id, first.load_id, None),
    ]
    check_books(database_url)


def test_what_was_reloaded_is_replayed_from_the_new_load_only(database_url, source, strict):
    """The load that was replaced has nothing open any more."""
    (first,) = run_on(database_url, source, layout=strict)
    (reloaded,) = run_on(database_url, source, layout=strict, timezone="UTC", reload=True)

    assert replay(database_url, load=first.load_id) == []
    (replayed,) = replay(database_url)
    assert (replayed.replays, replayed.books.loaded) == (reloaded.load_id, 1)
    assert execute(database_url, HOURS) == [(1001, 8), (1002, 8)]
    check_books(database_url)


def test_a_replay_under_another_key_is_refused_with_a_step_that_works(database_url, source, strict, tmp_path):
    """The format of a key field is part of the key; --reload reads the whole source with it."""
    run_on(database_url, source, layout=strict)
    changed = own_layout(
        tmp_path, 'format = "%Y-%m-%d %H:%M:%S"', 'format = ["%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S"]'
    )
    (refused,) = replay(database_url, layout=changed)

    assert (refused.books.status, refused.settled) == ("refused", 0)
    assert "under another key than this layout's" in str(refused.books.reason)
    assert f"'trunkline run {source} --reload' reads the whole source with today's layout" in str(refused.books.reason)
    (reloaded,) = run_on(database_url, source, layout=changed, reload=True)
    assert reloaded.loaded == 2
    assert execute(database_url, "select count(*) from trunkline.rejects where state = 'open'") == [(1,)]
    check_books(database_url)
