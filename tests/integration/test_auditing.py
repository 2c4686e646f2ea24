"""The books are proved against the call tables, and each way in which they can disagree is found."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from tests.call_logs import execute, record, run_on, write_log
from trunkline import Settings, transform
from trunkline.books.reading import Which
from trunkline.cli.app import execute as command
from trunkline.database.connection import connect
from trunkline.extraction import extract
from trunkline.loading.load import load
from trunkline.replaying import replay_rejects
from trunkline.servers import open_servers
from trunkline.tracing.auditing import verify_books

BAD = "1001,$1.2.0,Nairobi,2022-01-01 10:00:00,00:05:30"
LAYOUT = Path("src/trunkline/layouts/customer_call_logs.toml").read_text(encoding="utf-8")
REPLACE = 'grammar = 1\nname = "own"\nextends = "customer_call_logs"\non_conflict = "replace"\nkey = ["started_at"]\n'


def audit(url):
    with closing(connect(url)) as connection:
        return verify_books(connection, warn=pytest.fail)


def kinds(url):
    return dict(audit(url).findings.by_kind)


@pytest.fixture
def loaded(database_url, tmp_path):
    """Two loads over two days, with a duplicate between them and a reject."""
    first = write_log(tmp_path / "a.csv", [record(1), record(2), BAD, record(3, day=2)])
    second = write_log(tmp_path / "b.csv", [record(2), record(4), record(5, day=2)])
    run_on(database_url, first, second)
    return database_url


def test_books_that_nobody_touched_are_proved(loaded):
    """The tables are counted, and nothing is found."""
    found = audit(loaded).to_dict()

    assert found["status"] == "proved", found
    assert found["tables"] == [{"call_table": "public.customer_call_logs", "loads": 2, "calls": 5}]


def test_all_that_trunkline_does_is_in_order(database_url, tmp_path):
    """Refusals, reloads, replays, replaced calls, empty sources, and a load by hand, over several tables."""
    replace = tmp_path / "own.toml"
    replace.write_text(REPLACE)
    options = {"layout": str(replace)}
    first = write_log(tmp_path / "a.csv", [record(n) for n in range(6)] + [BAD])
    run_on(database_url, first, **options)
    run_on(database_url, write_log(tmp_path / "b.csv", [record(n, cost="3") for n in (1, 2, 9)]), **options)
    run_on(
        database_url, write_log(tmp_path / "b.csv", [record(n, cost="3") for n in (1, 2, 9)]), reload=True, **options
    )
    run_on(database_url, write_log(tmp_path / "c.csv", [BAD]), **options)
    run_on(database_url, write_log(tmp_path / "d.csv", []), **options)
    other = tmp_path / "other.toml"
    other.write_text('grammar = 1\nname = "other"\nextends = "customer_call_logs"\ntable = "other"\n')
    calls, rejects = transform(extract(first, str(other)), str(other))
    with closing(psycopg2.connect(database_url)) as connection:
        load(calls, connection, str(other), rejects)
        connection.commit()
    changed = tmp_path / "changed.toml"
    text = LAYOUT.replace('table = "customer_call_logs"', 'table = "changed"')
    changed.write_text(text.replace('name = "destination"', 'name = "destination"\nallowed = ["Nakuru"]', 1))
    path = write_log(tmp_path / "e.csv", [record(1), record(2).replace("Nairobi", "Nakuru")])
    (books,) = run_on(database_url, path, layout=str(changed))
    changed.write_text(text)
    chosen = Settings(database_url=database_url, redis_url="none", layout=str(changed))
    with open_servers(chosen, {}) as servers:
        (replayed,) = replay_rejects(Which(load=books.load_id), chosen, servers)

    assert replayed.books.loaded == 1
    assert audit(database_url).to_dict()["disagreements"] == {}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("delete from customer_call_logs where load_id = 2 and source_line = 3", {"loaded_calls": 1}),
        ("delete from customer_call_logs where load_id = 2", {"load_without_rows": 1}),
        ("truncate customer_call_logs", {"load_without_rows": 2}),
        ("update customer_call_logs set cost = 7 where source_line = 5", {"loaded_sums": 1}),
        ("update customer_call_logs set cost = 7, duration_s = 1 where source_line = 5", {"loaded_sums": 2}),
        ("update customer_call_logs set currency = 'KES' where source_line = 5", {"loaded_sums": 2}),
        (
            "update customer_call_logs set load_id = 9 where source_line = 5",
            {"row_without_load": 1, "loaded_calls": 1},
        ),
        (
            "update trunkline.loads set status = 'failed', published_seq = null where id = 2",
            {"row_without_load": 1},
        ),
        ("drop table customer_call_logs_20220102", {"partition_gone": 2, "loaded_calls": 2}),
        (
            "alter table customer_call_logs detach partition customer_call_logs_20220102",
            {"partition_gone": 2, "loaded_calls": 2},
        ),
        ("drop table customer_call_logs cascade", {"table_gone": 1}),
        ("drop index customer_call_logs_started_at_record_key_idx", {"key_index": 1}),
        ("delete from trunkline.rejects", {"rejects": 1}),
        ("update trunkline.rejects set code = 'nul_byte'", {"rejects": 1}),
        ("update trunkline.rejects set state = 'replayed'", {"replays": 1}),
        ("delete from trunkline.blocks where load_id = 1", {"blocks": 1}),
        ("update trunkline.totals set typed = typed + 1, loaded = loaded + 1 where load_id = 2", {"loaded_sums": 2}),
        (
            "alter table trunkline.loads drop constraint loads_balance; update trunkline.loads set read = read + 1",
            {"balance": 2, "blocks": 2},
        ),
        (
            "alter table trunkline.totals drop constraint totals_balance;update trunkline.totals set typed = typed + 1",
            {"totals": 4},
        ),
    ],
)
def test_every_kind_of_disagreement_is_found(loaded, statement, expected):
    """What somebody changed by hand, in the tables or in the books, is counted by its kind."""
    execute(loaded, statement)

    assert kinds(loaded) == expected


def test_replaced_calls_excuse_no_others(database_url, tmp_path):
    """As many calls may be fewer as were replaced, and none more."""
    layout = tmp_path / "own.toml"
    layout.write_text(REPLACE)
    run_on(database_url, write_log(tmp_path / "a.csv", [record(n) for n in range(6)]), layout=str(layout))
    run_on(database_url, write_log(tmp_path / "b.csv", [record(1, cost="3")]), layout=str(layout))
    assert kinds(database_url) == {}
    execute(database_url, "delete from customer_call_logs where source_line = 7")

    assert kinds(database_url) == {"loaded_calls": 1}


def test_no_load_is_published_meanwhile(loaded):
    """A session that publishes is waited for."""
    with closing(psycopg2.connect(loaded)) as writer, closing(connect(loaded)) as reader:
        with writer.cursor() as cursor:
            cursor.execute("lock table customer_call_logs in share update exclusive mode")
        said = []

        def let_go(message):
            said.append(message)
            writer.rollback()

        found = verify_books(reader, warn=let_go)

    assert said == ["waiting for another session that writes to public.customer_call_logs"]
    assert not found.findings.by_kind


def test_the_command_has_exit_codes_and_json(loaded, capsys):
    """0 and a sentence where the books are proved; 3 and a line for each disagreement where not."""
    arguments = ["--database-url", loaded]
    assert command(["verify", "--books", *arguments]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == "the books are proved"
    execute(loaded, "delete from customer_call_logs where load_id = 2 and source_line = 3")

    assert command(["verify", "--books", *arguments]) == 3
    told = capsys.readouterr()
    line = "trunkline: public.customer_call_logs: load 2: loaded_calls: calls: 2 in the books, 1 found"
    assert told.err.splitlines()[1:] == [line, "the books disagree in 1 places"]
    assert command(["verify", "--books", "--json", *arguments]) == 3
    books = json.loads(capsys.readouterr().out)["books"]
    assert (books["status"], books["disagreements"]) == ("disagrees", {"loaded_calls": 1})
    assert books["examples"] == [
        {
            "kind": "loaded_calls",
            "detail": "calls: 2 in the books, 1 found",
            "load_id": 2,
            "call_table": "public.customer_call_logs",
        }
    ]
    assert command(["verify", "a.csv", "--books", *arguments]) == 2
