"""Gaps in the numbers of switches, from files to the books and back, on a real PostgreSQL."""

from __future__ import annotations

import json
from contextlib import closing
from itertools import chain, pairwise
from pathlib import Path

import psycopg2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg2 import sql

from trunkline import Settings, run
from trunkline.books.gaps import DISORDER
from trunkline.books.reading import Which, list_counts
from trunkline.books.sequences import query
from trunkline.cli.app import execute
from trunkline.replaying import replay_rejects
from trunkline.servers import open_servers

pytestmark = pytest.mark.filterwarnings("ignore:.* does not know are not loaded:RuntimeWarning")

PBX = """
grammar = 1
name = "pbx"
table = "pbx"
key = ["system", "started_at", "sequence"]
event_time = "started_at"
[sequence]
from = "field"
field = "sequence"
restarts = true
[dialect]
delimiter = ","
header = true
[[fields]]
column = "at"
name = "started_at"
type = "timestamp"
required = true
timezone = "UTC"
[[fields]]
column = "n"
name = "sequence"
type = "integer"
[[fields]]
column = "to"
name = "callee"
type = "text"
"""
CUCM = Path("tests/fixtures/layouts/cucm_cdr.csv").read_text(encoding="utf-8")


@pytest.fixture
def load(database_url, tmp_path):
    """Return what loads records of (minute, number), or a text, under a name; and gives the account."""
    layout = tmp_path / "pbx.toml"
    layout.write_text(PBX, encoding="utf-8")

    def load_file(name, content, *, layout=str(layout), **settings):
        if not isinstance(content, str):
            rows = (f"2024-03-{1 + at // 1440:02} {at // 60 % 24:02}:{at % 60:02}:00,{n},2001" for at, n in content)
            content = "\n".join(("at,n,to", *rows)) + "\n"
        (tmp_path / name).write_text(content, encoding="utf-8")
        chosen = Settings(database_url=database_url, redis_url="none", layout=layout, system="hq", **settings)
        (books,) = run([str(tmp_path / name)], chosen)
        assert books.status in ("loaded", "unchanged"), books.reason
        return books

    return load_file


@pytest.fixture
def found(database_url):
    """Return what gives all gaps, as (stream, run, kind, first, last, loads)."""

    def find():
        with closing(psycopg2.connect(database_url)) as connection:
            counts = list_counts(connection)
        return [
            (count.stream, count.run, gap.kind, gap.first, gap.last, gap.loads)
            for count in counts
            for gap in count.gaps
        ]

    return find


def ranges(database_url):
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("select load_id, first_number, last_number from trunkline.sequences order by 1, first_at, 2")
        return cursor.fetchall()


def test_a_missing_number_has_the_loads_around_it(load, found):
    """And a later file that has it closes the gap."""
    load("a.csv", [(0, 5), (1, 6)])
    load("b.csv", [(5, 9), (4, 8)])

    assert found() == [("", 1, "missing", 7, 7, (1, 2))]

    load("c.csv", [(3, 7)])

    assert found() == []


def test_ranges_are_compact(load, database_url):
    """One row for numbers without a hole, in whatever order they stand in the file."""
    load("a.csv", [(at, at) for at in reversed(range(300))])
    load("b.csv", [(at, at) for at in (300, 302, 301, 310)])

    assert ranges(database_url) == [(1, 0, 299), (2, 300, 302), (2, 310, 310)]


BEGIN_LOAD = (
    "insert into trunkline.loads (source, layout, layout_fingerprint, key_fingerprint, call_table, status, "
    "program_version) values ('', '', '', '', '', 'running', '') returning id"
)
NOTED = "delete from trunkline.sequences returning load_id, restarts, first_number, last_number, first_at, last_at"


class Numbered:
    """Staged calls that have nothing but numbers: of loads, each a list of (minute, number)."""

    def __init__(self, cursor, loads):
        self.cursor = cursor
        cursor.execute("create temp table calls (load_id bigint, n bigint, at timestamptz, source_line bigint)")
        cursor.execute("create temp table aside (source_line bigint)")
        self.load_ids = []
        for load in loads:
            cursor.execute(BEGIN_LOAD)
            self.load_ids.append(cursor.fetchone()[0])
            for minute, number in load:
                at = minute * 60
                cursor.execute(
                    "insert into calls values (%s, %s, to_timestamp(%s), 1)", (self.load_ids[-1], number, at)
                )

    def noted(self, way, restarts, calls=sql.Identifier("calls")):  # noqa: B008 - names do not change
        """Return what one of the queries notes."""
        names = {
            "number": sql.Identifier("n"),
            "at": sql.SQL("s.at"),
            "staged": calls,
            "aside": sql.Identifier("aside"),
        }
        self.cursor.execute(query(way, **names), {"restarts": restarts, "disorder": DISORDER})
        self.cursor.execute(NOTED)
        return sorted(self.cursor.fetchall())

    def noted_one_by_one(self, way, restarts):
        """Return what it notes of each load by itself, one after the other."""
        own = sql.SQL("(select * from calls where load_id = {})")
        return [self.noted(way, restarts, own.format(sql.Literal(load_id))) for load_id in self.load_ids]


def timed(numbers, pauses):
    """Return numbers with their minutes, which never fall."""
    minutes = [sum(pauses[: place + 1]) for place in range(len(numbers))]
    return list(zip(minutes, numbers, strict=True))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    numbers=st.lists(st.none() | st.integers(-1, 12), max_size=12),
    pauses=st.lists(st.integers(0, 2), min_size=12, max_size=12),
    restarts=st.booleans(),
)
def test_the_quick_way_to_note_numbers_notes_what_the_other_does(database_url, numbers, pauses, restarts):
    """Where numbers rise with time, one sort finds the ranges that four would; elsewhere it finds none."""
    calls = timed(numbers, pauses)
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        staged = Numbered(cursor, [calls])
        quick, other = staged.noted("note_numbers_in_order", restarts), staged.noted("note_numbers", restarts)

    there = sorted(call for call in calls if call[1] is not None)
    rises = all(before < after for (_, before), (_, after) in pairwise(there))
    begins_again = any(number == 0 for _, number in there[1:])
    assert quick == (other if rises and not begins_again else [])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    loads=st.lists(st.lists(st.integers(-1, 12), max_size=8), min_size=2, max_size=3),
    pauses=st.lists(st.integers(0, 2), min_size=8, max_size=8),
    restarts=st.booleans(),
)
@example(loads=[[5, 6], [9, 0]], pauses=[1] * 8, restarts=True)  # one of them begins again
@example(loads=[[5, 6], [DISORDER + 8, DISORDER + 9]], pauses=[1] * 8, restarts=True)  # far from each other
def test_numbers_of_loads_that_are_staged_together_are_each_load_s_own(database_url, loads, pauses, restarts):
    """However their calls lie in time beside each other."""
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        staged = Numbered(cursor, [timed(numbers, pauses) for numbers in loads])
        together = {way: staged.noted(way, restarts) for way in ("note_numbers", "note_numbers_in_order")}
        apart = {way: staged.noted_one_by_one(way, restarts) for way in together}

    all_quick = all(found for found, numbers in zip(apart["note_numbers_in_order"], loads, strict=True) if numbers)
    assert together["note_numbers"] == list(chain.from_iterable(apart["note_numbers"]))
    assert together["note_numbers_in_order"] == (together["note_numbers"] if all_quick else [])


def test_a_record_that_is_there_already_is_not_repeated(load, found, database_url):
    """Overlapping files: a duplicate was not brought again, in the source nor in the table."""
    load("a.csv", [(0, 1), (1, 2), (1, 2)])
    load("b.csv", [(1, 2), (2, 3)])

    assert found() == []
    assert ranges(database_url) == [(1, 1, 2), (2, 3, 3)]


def test_a_count_that_begins_again_is_another_run(load, found):
    """Within a file, over midnight, and from one file to the next."""
    load("a.csv", [(1438, 0), (1439, 1), (1440, 2), (1441, 4), (1450, 0), (1451, 1)])
    load("b.csv", [(1452, 2), (1453, 4), (1500, 1), (1501, 2)])

    assert found() == [
        ("", 1, "missing", 3, 3, (1, 1)),
        ("", 2, "missing", 3, 3, (2, 2)),
        ("", 3, "missing", 0, 0, (2,)),
    ]


def test_rejected_records_have_no_number(load, found):
    """What is not in the table is missing, until it is."""
    load("a.csv", "at,n,to\n2024-03-01 00:00:00,1,x\nnever,2,x\n2024-03-01 00:02:00,3,x\n")

    assert found() == [("", 1, "missing", 2, 2, (1, 1))]


def test_a_replay_closes_the_gap(load, found, database_url, tmp_path):
    """A record that was rejected has its number once the layout reads it."""
    strict = tmp_path / "strict.toml"
    strict.write_text(
        PBX.replace('name = "callee"\ntype = "text"', 'name = "callee"\ntype = "text"\npattern = "[0-9]+"')
    )
    load(
        "a.csv",
        "at,n,to\n" + "".join(f"2024-03-01 00:0{n}:00,{n},{to}\n" for n, to in ((1, 2), (2, "x"), (3, 2))),
        layout=str(strict),
    )
    assert found() == [("", 1, "missing", 2, 2, (1, 1))]

    settings = Settings(database_url=database_url, redis_url="none", layout=str(tmp_path / "pbx.toml"), system="hq")
    with open_servers(settings, {}) as servers:
        replay_rejects(Which(), settings, servers)

    assert found() == []


def test_a_reload_has_the_numbers_of_the_new_load(load, found, database_url):
    """Those of the load that it replaced do not count."""
    load("a.csv", [(0, 1), (1, 3)])
    load("a.csv", [(0, 1), (1, 3)], reload=True)

    assert found() == [("", 1, "missing", 2, 2, (2, 2))]


def test_files_are_counted_by_node(load, found):
    """The number is in the name; a file that comes later closes the gap."""
    day = "cdr_Cluster1_{node}_20240301100{number}_{number}"
    for node, number in (("01", 4), ("01", 5), ("02", 4), ("02", 7)):
        load(day.format(node=node, number=number), changed_cucm(node, number), layout="cucm_cdr")

    assert found() == [("cdr_Cluster1_02", 1, "missing", 5, 6, (3, 4))]

    load(day.format(node="02", number=5), changed_cucm("02", 5), layout="cucm_cdr")
    load(day.format(node="02", number=6), changed_cucm("02", 6), layout="cucm_cdr")

    assert found() == []


def test_the_same_number_with_other_content_is_repeated(load, found):
    """Two files that say to be the same one are not."""
    load("cdr_Cluster1_01_202403011000_7", changed_cucm("01", 1), layout="cucm_cdr")
    load("cdr_Cluster1_01_202403011001_7", changed_cucm("01", 2), layout="cucm_cdr")

    assert found() == [("cdr_Cluster1_01", 1, "repeated", 7, 7, (1, 2))]


def test_an_unchanged_file_is_not_missing_and_not_repeated(load, found):
    """Equal content under two numbers: both came; a reload keeps both; loading one again adds nothing."""
    for number in (1, 2, 3, 2):
        load(f"cdr_Cluster1_01_20240301100{number}_{number}", changed_cucm("01", 1), layout="cucm_cdr")
    assert found() == []

    load("cdr_Cluster1_01_202403011004_4", changed_cucm("01", 1), layout="cucm_cdr", reload=True)

    assert found() == []


def changed_cucm(node, number):
    """Return other content with the same records: blank lines more, a number of their own for each file."""
    return CUCM + "\n" * (int(node) * 10 + number)


def test_the_command_lists_gaps(load, database_url, capsys):
    """As a table, as JSON, by system, and beside a load."""
    load("a.csv", [(0, 1), (1, 4)])
    arguments = ["--database-url", database_url]

    assert execute(["gaps", *arguments]) == 0
    table = capsys.readouterr()
    assert table.out.splitlines()[1].split() == ["hq", "pbx", "1", "missing", "2", "3", "2", "1,", "1"]
    assert "2 missing and 0 repeated numbers in 1 counts" in table.err

    assert execute(["gaps", "--system", "hq", "--json", *arguments]) == 0
    (count,) = json.loads(capsys.readouterr().out)["counts"]
    assert count == {
        "system": "hq", "layout": "pbx", "stream": "", "run": 1, "first": 1, "last": 4, "missing": 2, "repeated": 0,
        "gaps": [{"kind": "missing", "first": 2, "last": 3, "count": 2, "loads": [1, 1]}],
    }  # fmt: skip

    assert execute(["gaps", "--layout", "other", "--json", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == []

    assert execute(["loads", "show", "1", *arguments]) == 0
    assert "2 to 3 missing" in capsys.readouterr().out
    assert execute(["loads", "show", "1", "--json", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["load"]["gaps"] == [
        {"stream": "", "run": 1, "kind": "missing", "first": 2, "last": 3, "loads": [1, 1]}
    ]


def test_a_call_that_is_replaced_is_not_repeated(load, found, tmp_path, database_url):
    """Its number is that of the call in its place, wherever in a range it was, and also after a reload."""
    layout = tmp_path / "replace.toml"
    layout.write_text(PBX.replace("grammar = 1", 'grammar = 1\non_conflict = "replace"'))
    load("a.csv", [(at, at) for at in range(6)], layout=str(layout))
    corrected = [f"2024-03-01 00:0{n}:00,{n},2002" for n in (0, 2, 3, 5)]
    load("b.csv", "\n".join(("at,n,to", *corrected)) + "\n", layout=str(layout))

    assert found() == []
    assert ranges(database_url) == [(1, 1, 1), (1, 4, 4), (2, 0, 0), (2, 2, 3), (2, 5, 5)]

    load("b.csv", "\n".join(("at,n,to", *corrected)) + "\n", layout=str(layout), reload=True)

    assert found() == []


def test_the_list_of_loads_says_what_is_missing(load, tmp_path, database_url, capsys):
    """For each system and layout that it shows, in words and as JSON."""
    layout = tmp_path / "once.toml"
    layout.write_text(PBX.replace("restarts = true", "restarts = false"))
    load("a.csv", [(0, 1), (1, 4), (2, 4)], layout=str(layout))
    arguments = ["--database-url", database_url]

    for command in (["loads"], ["loads", "show", "1"]):
        assert execute([*command, *arguments]) == 0
        line = "system hq, layout pbx: 2 missing and 1 repeated sequence numbers; see 'trunkline gaps --system hq"
        assert line in capsys.readouterr().err
        assert execute([*command, "--json", *arguments]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["gaps"] == [{"system": "hq", "layout": "pbx", "missing": 2, "repeated": 1}]

    assert execute(["loads", "--system", "other", *arguments]) == 0
    assert "missing" not in capsys.readouterr().err


def test_a_list_of_gaps_has_a_limit(load, database_url, capsys):
    """The first gaps are listed; all are counted, and it says how to list them."""
    load("a.csv", [(0, 1), (1, 3), (2, 5), (3, 9)])
    arguments = ["--database-url", database_url, "--limit", "2"]

    assert execute(["gaps", *arguments]) == 0
    table = capsys.readouterr()
    assert len(table.out.splitlines()) == 3
    assert "5 missing and 0 repeated numbers in 1 counts\n2 of 3 gaps; '--limit 3' lists all\n" in table.err

    assert execute(["gaps", "--json", *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    (count,) = document["counts"]
    assert (document["count"], count["missing"], len(count["gaps"])) == (3, 5, 2)
