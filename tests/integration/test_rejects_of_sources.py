"""Rejects of every kind of source: exported byte by byte, corrected in an editor and loaded, or replayed."""

from __future__ import annotations

import gzip
import zipfile
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg2
import pytest

from tests.call_logs import HEADER, check_books, execute, record, run_on, write_log
from trunkline import Settings
from trunkline.books.exporting import export_records, export_spreadsheet, loading_options
from trunkline.books.reading import Which, list_rejects
from trunkline.books.settling import discard_rejects
from trunkline.errors import UsageError
from trunkline.replaying import replay_rejects
from trunkline.servers import open_servers

LAYOUT = Path("src/trunkline/layouts/customer_call_logs.toml")
DEAR = record(7, cost="9.50")
FREE = record(8, cost="free")


def export(url, write=export_records, **filters):
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        return b"".join(write(cursor, Which(**{"state": "open"} | filters)))


def replay(url, layout="customer_call_logs"):
    settings = Settings(database_url=url, redis_url="none", layout=layout)
    with open_servers(settings, {}, warn=lambda _: None) as servers:
        return replay_rejects(Which(), settings, servers)


@pytest.fixture
def own_layout(tmp_path):
    """Write the reference layout with changes, under its own name."""

    def write(name, *changes):
        text = LAYOUT.read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


STRICT = ('currency = "USD"', 'currency = "USD"\nmax = 5')


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_an_export_has_the_bytes_and_loads_when_corrected(database_url, tmp_path, end):
    """Header and bad records in the order of the source, with its line ends, bytes that are no text included."""
    bad = [FREE.encode(), b"1005,=cmd,+1", b"1006,$1.20,N\xffi\xf0robi,2022-01-01 10:00:00,00:01:00", b"1\0,2,3,4,5"]
    lines = [HEADER.encode(), record(1).encode(), *bad[:2], record(2).encode(), *bad[2:]]
    path = tmp_path / "calls.csv"
    path.write_bytes(end.join(lines) + end)
    (books,) = run_on(database_url, str(path))
    exported = export(database_url)

    assert (books.loaded, books.rejected) == (2, 4)
    assert exported == end.join([HEADER.encode(), *bad]) + end
    edited = tmp_path / "edited.csv"
    edited.write_bytes(exported.replace(b"free", b"0.50").replace(b"\xffi\xf0", b"ai"))
    (corrected,) = run_on(database_url, str(edited))
    assert (corrected.loaded, corrected.rejected) == (2, 2)
    check_books(database_url)


def test_rejects_that_are_run_again_unchanged_point_at_the_first(database_url, tmp_path):
    """An export that was only half corrected adds rejects, and says which ones they were."""
    run_on(database_url, write_log(tmp_path / "calls.csv", [record(1), FREE, record(9, cost="x")]))
    edited = tmp_path / "edited.csv"
    edited.write_bytes(export(database_url).replace(b"free", b"0.50"))
    run_on(database_url, str(edited))

    assert execute(database_url, "select id, same_as from trunkline.rejects order by id") == [
        (1, None),
        (2, None),
        (3, 2),
    ]


def wide(text):
    return text.encode("utf-16")


def zipped(path, text):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inner/calls.csv", text)
        archive.writestr("inner/more.csv", text.replace("1001", "1031"))


@pytest.mark.parametrize(
    ("name", "write", "begins", "loads"),
    [
        ("calls.csv", lambda path, text: path.write_bytes(text.encode()), b"customer_id", 1),
        ("bom.csv", lambda path, text: path.write_bytes(text.encode("utf-8-sig")), b"\xef\xbb\xbfcustomer_id", 1),
        ("wide.csv", lambda path, text: path.write_bytes(wide(text)), b"\xef\xbb\xbfcustomer_id", 1),
        ("calls.csv.gz", lambda path, text: path.write_bytes(gzip.compress(text.encode())), b"customer_id", 1),
        ("calls.zip", zipped, b"customer_id", 2),
    ],
    ids=["plain", "BOM", "UTF-16", "gzip", "zip"],
)
def test_rejects_of_any_container_and_encoding_come_back(
    database_url, tmp_path, own_layout, name, write, begins, loads
):
    """The export is a plain file in UTF-8; a replay with the corrected layout loads what it reads now."""
    write(tmp_path / name, "\n".join((HEADER, record(1), DEAR.replace("Nairobi", "Näirobi"), FREE, "")))
    books = run_on(database_url, str(tmp_path / name), layout=own_layout("strict.toml", STRICT))
    assert [(one.loaded, one.rejected) for one in books] == [(1, 2)] * loads
    exported = export(database_url, code="bad_money")

    assert exported.startswith(begins)
    assert exported.endswith(b"\n" + f"{FREE}\n".encode() * loads)
    replayed = replay(database_url)
    assert [(one.books.loaded, one.stay_open_by) for one in replayed] == [(1, {"bad_money": 1})] + [
        (0, {"bad_money": 1})
    ] * (len(replayed) - 1)
    assert execute(database_url, "select destination from customer_call_logs where cost > 5") == [("Näirobi",)]
    check_books(database_url)


@pytest.mark.parametrize(
    ("filters", "lines"),
    [
        ({"load": 1}, [3, 4, 5]),
        ({"code": "bad_money"}, [4, 5]),
        ({"field": "started_at"}, [3]),
        ({"older_than": timedelta(days=7)}, [4]),
        ({"newer_than": timedelta(hours=12)}, [3, 5]),
        ({"code": "bad_money", "newer_than": timedelta(hours=12)}, [5]),
        ({"ids": (3, 1)}, [3, 5]),
        ({"load": 2}, []),
    ],
    ids=lambda value: "-".join(map(str, value)),
)
def test_the_same_rejects_are_listed_exported_replayed_and_discarded(database_url, tmp_path, filters, lines):
    """By load, reason, field, age and number."""
    bad = {3: record(3).replace("2022-01-01", "now"), 4: record(4, cost="x"), 5: record(5, cost="y")}
    run_on(database_url, write_log(tmp_path / "calls.csv", [record(1), *bad.values()]))
    execute(database_url, "update trunkline.rejects set created_at = now() - interval '8 days' where source_line = 4")
    which = Which(**filters)
    settings = Settings(database_url=database_url, redis_url="none", layout="customer_call_logs")
    with open_servers(settings, {}) as servers:
        sent = sum(one.sent for one in replay_rejects(which, settings, servers))
    with closing(psycopg2.connect(database_url)) as connection:
        listed = [one.source_line for one in list_rejects(connection, which)]
        exported = export(database_url, **filters).decode().splitlines()[1:] if lines else []
        discarded = discard_rejects(connection, which, "test calls")

    assert (listed, sent, discarded) == (lines, len(lines), len(lines))
    assert exported == [bad[line] for line in lines]
    left = execute(database_url, "select source_line from trunkline.rejects where state = 'open' order by 1")
    assert left == [(line,) for line in bad if line not in lines]


@pytest.mark.parametrize(("mark", "loaded"), [(b"", 1), (b"\xef\xbb\xbf", 0)], ids=["none", "UTF-8"])
def test_an_encoding_that_is_known_later_is_given_to_the_replay(database_url, tmp_path, mark, loaded):
    """A byte order mark stands above it, as in a run."""
    path = tmp_path / "calls.csv"
    path.write_bytes(mark + "\n".join((HEADER, record(1), record(2).replace("Nairobi", "Näirobi"))).encode("cp1252"))
    run_on(database_url, str(path))
    known = Settings(database_url=database_url, redis_url="none", layout="customer_call_logs", encoding="cp1252")
    with open_servers(known, {}, warn=lambda _: None) as servers:
        (replayed,) = replay_rejects(Which(), known, servers)

    assert (replayed.books.loaded, sum(replayed.stay_open_by.values())) == (loaded, 1 - loaded)
    names = execute(database_url, "select destination from customer_call_logs where customer_id = 1002")
    assert names == [("Näirobi",)] * loaded


def test_records_of_several_lines_come_back_whole(database_url, tmp_path, own_layout):
    """A line end between quotes is part of the record, in the export and in the replay."""
    several = ("[dialect]", "[dialect]\nmultiline = true")
    long = DEAR.replace("Nairobi", '"Nai\nrobi"')
    source = write_log(tmp_path / "calls.csv", [record(1), long, FREE])
    run_on(database_url, source, layout=own_layout("strict.toml", STRICT, several))

    assert export(database_url) == f"{HEADER}\n{long}\n{FREE}\n".encode()
    (replayed,) = replay(database_url, own_layout("several.toml", several))
    assert (replayed.books.loaded, replayed.stay_open_by) == (1, {"bad_money": 1})
    assert execute(database_url, "select destination from customer_call_logs where cost > 5") == [("Nai\nrobi",)]


def test_conflicts_are_replayed_by_the_policy_of_todays_layout(database_url, tmp_path, own_layout):
    """With "replace" the corrected call takes the place of the one that was kept."""
    run_on(database_url, write_log(tmp_path / "calls.csv", [record(1), record(2)]))
    run_on(database_url, write_log(tmp_path / "corrected.csv", [record(1, cost="1.50"), record(3)]))
    replace = own_layout("replace.toml", ("[dialect]", 'on_conflict = "replace"\n\n[dialect]'))
    (kept,) = replay(database_url)
    (replaced,) = replay(database_url, replace)

    assert (kept.books.status, kept.stay_open_by) == ("refused", {"conflict": 1})
    assert (replaced.books.loaded, replaced.settled) == (1, 1)
    assert execute(database_url, "select cost::text from customer_call_logs where customer_id = 1001") == [
        ("1.500000",)
    ]
    assert execute(database_url, "select state from trunkline.rejects") == [("replayed",)]


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"timezone": "UTC", "system": "b"}, "a system"),
        ({"system": "b"}, "a system"),
        ({"currency": "KES"}, "a currency"),
    ],
)
def test_rejects_that_one_run_would_read_wrong_are_not_one_file(database_url, tmp_path, other, what):
    """Equal headers are not enough: one run has one system, one zone and one currency."""
    run_on(database_url, write_log(tmp_path / "a.csv", [record(1), FREE]))
    execute(database_url, "delete from customer_call_logs")
    run_on(database_url, write_log(tmp_path / "b.csv", [record(2).replace("$", ""), FREE]), **other)

    with pytest.raises(UsageError, match=rf"do not have {what} in common \(loads 1, 2\); export them one by one"):
        export(database_url)
    assert export(database_url, load=2) == f"{HEADER}\n{FREE}\n".encode()


def test_rejects_under_other_headers_are_not_one_file(database_url, tmp_path):
    """For a spreadsheet they are: each header stands above its records."""
    run_on(database_url, write_log(tmp_path / "a.csv", [record(1), FREE]))
    path = tmp_path / "b.csv"
    path.write_text(
        f"note;{HEADER.replace(',', ';')}\n=1+1;{FREE.replace(',', ';')}\nx;{record(2).replace(',', ';')}\n"
    )
    run_on(database_url, str(path))

    with pytest.raises(UsageError, match="do not have headers in common"):
        export(database_url)
    sheet = export(database_url, export_spreadsheet).decode("utf-8-sig").splitlines()
    assert [line.count("text of") for line in sheet] == [5, 0, 6, 0]
    assert '"\'=1+1","1008","$free"' in sheet[3]


def test_the_command_that_loads_an_export_reads_it_as_its_source_was_read(database_url, tmp_path):
    """Without its options a corrected file would be loaded in another zone, for nobody."""
    run_on(database_url, write_log(tmp_path / "a.csv", [record(1), FREE]), system="pbx 2", timezone="UTC")
    run_on(database_url, write_log(tmp_path / "b.csv", [record(1), FREE]), encoding="cp1252", system="pbx 3")
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        first, second = (loading_options(cursor, Which(load=load)) for load in (1, 2))

    assert first == ["--layout", "customer_call_logs", "--system", "pbx 2", "--timezone", "UTC"]
    assert second == ["--layout", "customer_call_logs", "--system", "pbx 3", "--encoding", "cp1252"]
