"""What people read: tables, facts, sums of books, and bytes that are shown so that each can be told."""

import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from trunkline.books.account import Books, CacheCounts, Totals
from trunkline.cli.report import (
    BOOKS_COLUMNS,
    _table,
    cell,
    error_line,
    print_books,
    print_facts,
    print_table,
    readable,
    render_json,
)
from trunkline.errors import SourceError

LOADED = Books(
    source="calls.csv",
    layout="customer_call_logs",
    status="loaded",
    load_id=41,
    read=1_200,
    loaded=1_190,
    rejected=10,
    rejected_by={"bad_money": 7, "missing_value": 3},
    totals=Totals(duration_s=Decimal(3720), cost={"USD": Decimal("1213.70")}),
    timezone="Africa/Nairobi",
    currency="USD",
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "yes"),
        (2_000_000, "2,000,000"),
        (0.126, "0.13"),
        (Decimal("1234.50"), "1,234.50"),
        (datetime(2022, 1, 1, 10, 0, 0, 123, tzinfo=UTC), "2022-01-01 10:00:00+00:00"),
        ({"USD": "13.70", "EUR": "1.00"}, "13.70 USD, 1.00 EUR"),
        ({"": "13.70"}, "13.70"),
        ({}, ""),
        (b"\xa5,1\x00", "\\xa5,1\\x00"),
        ("[red]", "[red]"),
    ],
)
def test_a_value_reads_well(value, text):
    """Numbers have separators, mappings read as amounts, bytes are escaped."""
    assert cell(value) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"Nairobi", "Nairobi"),
        ("Murang\u2019a".encode(), "Murang\u2019a"),
        (b"Nai\xa5robi", r"Nai\xa5robi"),
        (b"a\x00b\tc", r"a\x00b\tc"),
        (b"\x1b[31m", r"\x1b[31m"),
    ],
)
def test_bytes_cannot_play_tricks_on_a_terminal(raw, text):
    """Text stays text; what is no text, or would move the cursor, is escaped."""
    assert readable(raw) == text


def test_json_keeps_what_floats_would_lose():
    """Exact numbers are text, times are ISO 8601, bytes are escaped text."""
    document = {"cost": Decimal("13.70"), "at": datetime(2022, 1, 1, tzinfo=UTC), "raw": b"\xa5"}

    assert json.loads(render_json(document)) == {"cost": "13.70", "at": "2022-01-01T00:00:00+00:00", "raw": "\\xa5"}


def test_an_error_is_one_line():
    """Whatever an error says, it says it on one line."""
    error = SourceError("line\nbreak", where="calls.csv", hint="look\tthere")

    assert error_line(error) == "trunkline: calls.csv: line break; look there"


def test_a_table_in_a_pipe_cuts_nothing():
    """A long message stands whole on one line where no terminal limits it."""
    file = io.StringIO()
    print_table(("load", "message"), [(7, "x" * 400)], file=file)
    header, row = file.getvalue().strip("\n").splitlines()

    assert header.split() == ["load", "message"]
    assert row.split() == ["7", "x" * 400]


def test_a_row_in_a_pipe_is_a_line():
    """What would break a line, or move a cursor, is escaped; wide characters take two columns."""
    file = io.StringIO()
    print_table(("source", "status"), [("a\nb\t", "failed"), ("通話.csv", "loaded")], file=file)

    assert file.getvalue().splitlines() == ["source    status", "a\\nb\\t    failed", "通話.csv  loaded"]


CELLS = st.one_of(st.text("ab \u00e9[]\u901a", max_size=9), st.integers(), st.none())


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=5), st.booleans())
def test_a_pipe_sees_what_rich_would_write(rows, header):
    """The plain table is that of rich, without the blanks at the ends of its lines."""
    file, reference = io.StringIO(), io.StringIO()
    columns = ("source", "\u901a", "read")
    print_table(columns, rows, file=file, header=header)
    Console(file=reference, width=1_000, highlight=False).print(_table(columns, rows, ruled=False, header=header))

    expected = [line.rstrip() for line in reference.getvalue().splitlines()] if rows or header else []

    assert file.getvalue().splitlines() == expected


class Terminal(io.StringIO):
    """A file that somebody looks at."""

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("terminal_columns", "lines"),
    [
        (
            "40",
            [
                "",
                " load    read  message",
                " " + "─" * 38,
                " 7     20,000  one two three four five",
                "               six",
            ],
        ),
        ("20", ["load     7", "read     20,000", "message  one two", "         three four", "         five six"]),
    ],
)
def test_a_narrow_terminal_cuts_no_number(monkeypatch, terminal_columns, lines):
    """Sentences wrap; where numbers would have to, a row becomes a block."""
    monkeypatch.setenv("COLUMNS", terminal_columns)
    file = Terminal()
    print_table(("load", "read", "message"), [("7", 20_000, "one two three four five six")], file=file)

    plain = re.sub(r"\x1b\[\d*m", "", file.getvalue())

    assert [line.rstrip() for line in plain.rstrip().splitlines()] == lines


def test_sources_that_were_there_add_up_to_nothing(capsys):
    """A run in which all was unchanged did nothing, and has no line of sums that reads like zero calls."""
    print_books([replace(LOADED, status="unchanged")] * 2)

    assert "this run" not in capsys.readouterr().err


def test_markup_in_a_name_is_only_a_name():
    """A file called [red] is shown as such."""
    file = io.StringIO()
    print_table(("source",), [("[red]calls[/red].csv",)], file=file)

    assert "[red]calls[/red].csv" in file.getvalue()


def test_unknown_facts_are_left_out(capsys):
    """What is None or empty takes no line."""
    print_facts({"load": 7, "reason": None, "system": "", "loaded": 0})

    assert [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()] == [
        ["load", "7"],
        ["loaded", "0"],
    ]


def test_books_are_read_on_stderr(capsys):
    """The table of a run leaves stdout alone, and rejects come with the next step."""
    print_books([LOADED])
    captured = capsys.readouterr()
    header, row, terms, rejects = [line for line in captured.err.splitlines() if line.strip()]

    assert captured.out == ""
    assert header.split() == list(BOOKS_COLUMNS)
    assert " ".join(row.split()) == "calls.csv loaded 41 1,200 1,190 0 10 0 3,720 1,213.70 USD"
    assert terms == "read as customer_call_logs: times in Africa/Nairobi, amounts in USD"
    assert rejects == "10 rejected: 7 bad_money, 3 missing_value; see 'trunkline rejects list --load 41'"


def test_what_sources_were_read_as_is_said_once(capsys):
    """Zone and currency are shown for each layout, not for each source; nothing where records say it themselves."""
    own = replace(LOADED, layout="our_calls", timezone="", currency="")
    print_books([LOADED, LOADED, own, Books(source="a.csv", layout=None, status="failed")])
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("read as")]

    assert said == ["read as customer_call_logs: times in Africa/Nairobi, amounts in USD", "read as our_calls"]


def test_what_the_cache_had_is_said_once_for_a_run(capsys):
    """Hits and misses of all sources are summed; where the cache was not asked, nothing is said."""
    first = replace(LOADED, cache=CacheCounts(hits=3, misses=1))
    print_books([first, replace(LOADED, cache=CacheCounts(hits=2))])
    asked = capsys.readouterr().err
    print_books([LOADED])

    assert "cache: 5 hits, 1 miss" in asked.splitlines()
    assert "cache:" not in capsys.readouterr().err


def test_books_without_rejects_say_nothing_of_them(capsys):
    """A clean run has a table and no more."""
    print_books([Books(source="a.csv", layout=None, status="failed", reason="gone")])

    assert "rejected:" not in capsys.readouterr().err


def test_columns_that_were_not_loaded_are_named_once_a_layout(capsys):
    """The same export has them every day."""
    columns = ("Rate", "", "a", "b", "c", "d")
    print_books([Books(source=f"{day}.csv", layout="twilio", status="loaded", unknown_columns=columns) for day in "12"])
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("columns")]

    assert said == ["columns that twilio does not know are not loaded: Rate, one without a name, a, b, c and 1 more"]


def test_a_trailer_that_agrees_is_said(capsys):
    """What was held against the books, and that it is the same."""
    trailer = {"agrees": True, "count": {"stated": "2", "found": "2"}, "cost": {"stated": "5", "found": "5"}}
    books = Books(source="calls.csv", layout="stated", status="loaded", trailer=trailer)
    print_books([books, replace(books, trailer=trailer | {"agrees": False})])
    said = [line for line in capsys.readouterr().err.splitlines() if "trailer" in line]

    assert said == ["calls.csv: its trailer agrees: count 2, cost 5"]
