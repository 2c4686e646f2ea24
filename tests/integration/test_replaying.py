"""Rejects are exported as they were, sent through the pipeline again once, and given up with a reason."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from trunkline import Settings, run
from trunkline.books.exporting import export_records, export_spreadsheet
from trunkline.books.reading import Which, list_rejects, show_load
from trunkline.books.settling import discard_rejects
from trunkline.replaying import replay_rejects
from trunkline.servers import open_servers

HEADER = "customer_id,call_cost,call_destination,call_date,call_duration"
GOOD = "1001,$1.20,Nairobi,2022-01-01 10:00:00,00:05:30"
TOO_DEAR = "1002,$9.50,Mombasa,2022-01-01 10:05:00,00:08:15"
TOO_DEAR_2 = "1003,$8.50,Nakuru,2022-01-02 10:10:00,00:03:45"
BAD_MONEY = "1004,$0.5x,Nakuru,2022-01-02 10:10:00,00:03:45"
TOO_FEW = "1005,=cmd,+1"
LAYOUT = Path("src/trunkline/layouts/customer_call_logs.toml")


@pytest.fixture
def corrected(database_url):
    """Settings with the layout as it should be."""
    return Settings(database_url=database_url, redis_url="none", layout="customer_call_logs")


@pytest.fixture
def settings(corrected, tmp_path):
    """Settings with a layout of the same name, key and table that takes no call for more than 5 USD."""
    path = tmp_path / "strict.toml"
    text = LAYOUT.read_text(encoding="utf-8")
    assert 'currency = "USD"' in text
    path.write_text(text.replace('currency = "USD"', 'currency = "USD"\nmax = 5'), encoding="utf-8")
    return corrected.model_copy(update={"layout": str(path)})


@pytest.fixture
def connection(database_url):
    with closing(psycopg2.connect(database_url)) as opened:
        opened.autocommit = True
        yield opened


def load(tmp_path, settings, *records, name="calls.csv", end="\n"):
    path = tmp_path / name
    path.write_bytes((end.join((HEADER, *records)) + end).encode())
    (books,) = run([str(path)], settings)
    return books


def replay(settings, **filters):
    with open_servers(settings, {}) as servers:
        return replay_rejects(Which(**filters), settings, servers)


def export(connection, write=export_records, **filters):
    with connection.cursor() as cursor:
        return b"".join(write(cursor, Which(**{"state": "open"} | filters)))


def states(connection):
    rejects = list_rejects(connection, Which())
    return sorted((one.load_id, one.source_line, one.state, one.replayed_by) for one in rejects)


def fetch(connection, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def test_what_the_layout_reads_now_is_loaded_and_settled(connection, settings, corrected, tmp_path):
    """The books of both loads balance and point at each other; what is still bad stays open, where it was."""
    first = load(tmp_path, settings, GOOD, TOO_DEAR, BAD_MONEY, TOO_DEAR_2, TOO_FEW)
    (replayed,) = replay(corrected, load=first.load_id)
    books = replayed.books

    assert (books.status, books.read, books.loaded, books.rejected) == ("loaded", 2, 2, 0)
    assert (replayed.sent, replayed.settled, replayed.stay_open_by) == (4, 2, {"bad_money": 1, "too_few_fields": 1})
    assert books.source == f"rejects of load {first.load_id}: {first.source}"
    before, after = show_load(connection, first.load_id), show_load(connection, books.load_id)
    assert (before.replayed_by, after.replays) == ([after.id], before.id)
    assert (before.books.read, before.books.loaded, before.books.rejected) == (5, 1, 4)
    assert states(connection) == [
        (first.load_id, 3, "replayed", books.load_id),
        (first.load_id, 4, "open", None),
        (first.load_id, 5, "replayed", books.load_id),
        (first.load_id, 6, "open", None),
    ]
    assert fetch(connection, "select load_id, source_line from customer_call_logs where customer_id = 1003") == [
        (books.load_id, 5)
    ]


def test_again_changes_nothing(connection, settings, corrected, tmp_path):
    """What is settled is not sent again; what is still bad is sent, leaves no load behind, and stays open."""
    first = load(tmp_path, settings, GOOD, TOO_DEAR, BAD_MONEY)
    replay(corrected)
    before = (states(connection), fetch(connection, "select count(*) from trunkline.loads"))
    (again,) = replay(corrected)

    assert (again.books.status, again.books.load_id, again.sent) == ("refused", None, 1)
    assert (states(connection), fetch(connection, "select count(*) from trunkline.loads")) == before
    assert fetch(connection, "select count(*) from customer_call_logs") == [(2,)]
    assert first.load_id


def test_one_replay_settles_the_same_bytes(connection, settings, corrected, tmp_path):
    """Of another load, and twice in one source; the call is there once."""
    first = load(tmp_path, settings, GOOD, TOO_DEAR, TOO_DEAR)
    second = load(tmp_path, settings, TOO_DEAR, GOOD, name="again.csv")
    (replayed,) = replay(corrected, load=first.load_id)

    assert (replayed.books.read, replayed.books.loaded, replayed.books.duplicates_in_source) == (2, 1, 1)
    assert replayed.settled == 3
    assert {state for _, _, state, _ in states(connection)} == {"replayed"}
    assert replay(corrected, load=second.load_id) == []
    assert fetch(connection, "select count(*) from customer_call_logs where customer_id = 1002") == [(1,)]


def test_the_same_bytes_of_another_system_are_another_call(connection, settings, corrected, tmp_path):
    """They stay open: nobody knows that they are the same call."""
    first = load(tmp_path, settings, GOOD, TOO_DEAR)
    second = load(tmp_path, settings.model_copy(update={"system": "pbx-2"}), GOOD, TOO_DEAR, name="b.csv")
    (replayed,) = replay(corrected, load=first.load_id)

    assert replayed.settled == 1
    assert (second.load_id, 3, "open", None) in states(connection)


def test_a_record_that_came_elsewhere_is_a_duplicate(connection, settings, corrected, tmp_path):
    """A record that a corrected file brought meanwhile is not loaded twice."""
    first = load(tmp_path, settings, GOOD, TOO_DEAR)
    load(tmp_path, corrected, TOO_DEAR, name="b.csv")
    (replayed,) = replay(corrected, load=first.load_id)

    assert (replayed.books.loaded, replayed.books.duplicates) == (0, 1)
    assert states(connection)[0][2] == "replayed"


def test_a_conflict_stays_open_beside_what_is_loaded(connection, settings, corrected, tmp_path):
    """The message names the call that is kept; the others leave."""
    first = load(tmp_path, settings, GOOD, TOO_DEAR, TOO_DEAR_2)
    kept = load(tmp_path, corrected, TOO_DEAR.replace("$9.50", "$9"), name="b.csv")
    (replayed,) = replay(corrected, load=first.load_id)

    assert (replayed.books.read, replayed.books.loaded, replayed.stay_open_by) == (1, 1, {"conflict": 1})
    assert f"load {kept.load_id}, line 2" in replayed.stay_open[0].message
    assert [state for _, _, state, _ in states(connection)] == ["open", "replayed"]


def test_two_replays_at_once_load_once(connection, settings, corrected, tmp_path):
    """The second finds nothing left."""
    load(tmp_path, settings, GOOD, *(TOO_DEAR.replace("1002", str(number)) for number in range(200, 400)))
    ended: list[list[object]] = []
    threads = [threading.Thread(target=lambda: ended.append(list(replay(corrected)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(map(len, ended)) == [0, 0, 1]
    assert fetch(connection, "select count(*) from customer_call_logs") == [(201,)]


def test_an_error_changes_neither_calls_nor_states(connection, settings, corrected, tmp_path):
    """The calls and the state of their rejects are one transaction."""
    load(tmp_path, settings, GOOD, TOO_DEAR)
    before = states(connection)
    with connection.cursor() as cursor:
        cursor.execute(
            "create function no() returns trigger language plpgsql as $$ begin raise 'no'; end $$;"
            "create trigger no before update on trunkline.rejects for each statement execute function no()"
        )
    (replayed,) = replay(corrected)

    assert (replayed.books.status, replayed.settled) == ("failed", 0)
    assert states(connection) == before
    assert fetch(connection, "select count(*) from customer_call_logs") == [(1,)]
    assert fetch(connection, "select count(*) from pg_tables where schemaname = 'trunkline_staging'") == [(0,)]


def test_another_zone_is_not_taken_silently(settings, tmp_path):
    """A layout that says another zone now needs the user's word."""
    text = LAYOUT.read_text(encoding="utf-8")
    path = tmp_path / "own.toml"
    path.write_text(text.replace("Africa/Nairobi", "Africa/Lagos"), encoding="utf-8")
    load(tmp_path, settings, GOOD, BAD_MONEY)
    (replayed,) = replay(settings.model_copy(update={"layout": str(path)}))

    assert replayed.books.status == "refused"
    assert "Africa/Nairobi" in str(replayed.books.reason)


def test_a_spreadsheet_calculates_nothing_and_is_not_loaded(connection, settings, tmp_path):
    """Formulas are escaped; the columns are not those of a source, so that a run refuses the file."""
    evil = "=1+1,+254,-1,@x,\tt"
    load(tmp_path, settings, GOOD, evil, TOO_FEW)
    text = export(connection, export_spreadsheet).decode("utf-8-sig")

    assert '"\'=1+1","\'+254","\'-1","\'@x","\'\tt"' in text
    assert '"\'=cmd","\'+1"' in text
    (tmp_path / "sheet.csv").write_text(text, encoding="utf-8")
    (books,) = run([str(tmp_path / "sheet.csv")], settings)
    assert books.status == "refused"


def test_discarded_rejects_are_not_replayed(connection, settings, corrected, tmp_path):
    """They keep their bytes and the reason."""
    load(tmp_path, settings, GOOD, TOO_DEAR, BAD_MONEY)
    count = discard_rejects(connection, Which(code="out_of_range"), "test calls")

    assert count == 1
    (entry,) = list_rejects(connection, Which(state="discarded"))
    assert (entry.note, entry.code) == ("test calls", "out_of_range")
    (replayed,) = replay(corrected)
    assert replayed.sent == 1


def test_an_open_quote_takes_no_neighbour_in(connection, settings, corrected, tmp_path):
    """Where fields may hold line ends, two damaged records in a row are still two, and nothing is made of them."""
    text = LAYOUT.read_text(encoding="utf-8").replace("[dialect]", "[dialect]\nmultiline = true")
    path = tmp_path / "multiline.toml"
    path.write_text(text, encoding="utf-8")
    multiline = corrected.model_copy(update={"layout": str(path)})
    halves = ('1002,$1.50,"Mom', 'basa",2022-01-01 10:05:00,00:08:15x"')
    first = load(tmp_path, settings, GOOD, halves[0], TOO_FEW, halves[1], TOO_DEAR)
    (replayed,) = replay(multiline, load=first.load_id)

    assert (replayed.books.read, replayed.books.loaded, replayed.sent) == (1, 1, 4)
    assert sum(replayed.stay_open_by.values()) == 3
