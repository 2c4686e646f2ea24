"""Lines that state what a source holds: filtered, compared with the books, and said; against real servers."""

from __future__ import annotations

import contextlib
import warnings

import pytest

from trunkline.books.account import Books
from trunkline.books.reading import show_load
from trunkline.database.connection import connect
from trunkline.errors import LayoutError, RefusedError
from trunkline.extraction import extract, extract_blocks
from trunkline.layout.files import load_layout, parse_layout
from trunkline.loading.load import load
from trunkline.progress import Watch
from trunkline.runner import check_sources, run_sources
from trunkline.servers import open_servers
from trunkline.settings.resolution import Settings
from trunkline.transformation import transform

LAYOUT = """
grammar = 1
name = "stated"
table = "calls_stated"
key = ["call_id", "started_at"]
event_time = "started_at"
{growing}

[defaults]
timezone = "UTC"

[[fields]]
column = "id"
name = "call_id"
type = "text"
required = true

[[fields]]
column = "start"
name = "started_at"
type = "timestamp"
required = true

[[fields]]
column = "seconds"
name = "duration_s"
type = "duration"
unit = "s"

[[fields]]
column = "cost"
name = "cost"
type = "money"
currency = "USD"
max = 100

[[skip]]
column = "id"
in = ["test"]

{trailer}
"""
TRAILER = """
[trailer]
first = ["TRAILER", "TRL"]
count = 2
{more}

[[trailer.totals]]
field = "duration_s"
column = 3
unit = "hms"

[[trailer.totals]]
field = "cost"
column = 4
"""
HEADER = "id,start,seconds,cost\n"
CALLS = "a1,2026-01-05 10:00:01,61,$4.50\na2,2026-01-05 10:00:32,59,$0.50\n"
AGREES = {
    "agrees": True,
    "count": {"stated": "2", "found": "2"},
    "duration_s": {"stated": "120", "found": "120"},
    "cost": {"stated": "5", "found": "5"},
}


@pytest.fixture
def ends(database_url, tmp_path):
    """What loads, or only checks, a text under a rule for trailers, and says what was warned of."""

    def one(text: str, rule: str = TRAILER.format(more=""), *, work=run_sources, growing="") -> tuple[Books, list[str]]:
        (tmp_path / "stated.toml").write_text(LAYOUT.format(trailer=rule, growing=growing))
        (tmp_path / "calls.csv").write_text(text)
        settings = Settings(layout=str(tmp_path / "stated.toml"), database_url=database_url, redis_url="none")
        told: list[str] = []
        with open_servers(settings, {}, warn=told.append) as servers:
            (books,) = work([str(tmp_path / "calls.csv")], settings, servers, progress=Watch())
        return books, [each.removeprefix(f"{tmp_path / 'calls.csv'}: ") for each in told]

    return one


@pytest.mark.parametrize("work", [check_sources, run_sources])
@pytest.mark.parametrize(
    "line",
    [
        "TRAILER,2,00:02:00,5.00",
        "TRL,0002,0:02:00,$5",
        '"TRAILER","2","00:02:00","5.00"',
        "TRAILER,2,00:02:00,5.00,x",
    ],
)
def test_a_trailer_that_agrees_is_filtered_and_kept(database_url, ends, work, line):
    """Of as many fields as a call or of others, in quotes or not."""
    books, told = ends(f"{HEADER}{CALLS}{line}\n", work=work)

    assert (books.status, books.read, books.loaded, books.filtered, told) == ("loaded", 3, 2, 1, [])
    assert books.trailer == AGREES
    if books.load_id is not None:
        with contextlib.closing(connect(database_url)) as connection:
            assert show_load(connection, books.load_id).books.trailer == AGREES


@pytest.mark.parametrize("work", [check_sources, run_sources])
@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("TRAILER,3,00:02:00,5.00", "has a trailer that states count 3, found 2"),
        ("TRAILER,2,00:02:01,5.00", "has a trailer that states duration_s 121, found 120"),
        ("TRAILER,1,00:02:00,1500.10", "has a trailer that states count 1, found 2; cost 1500.1, found 5"),
        ("TRAILER,two,00:02:00,5.00", "has a trailer that states count nothing readable, found 2"),
        ("TRAILER,2,,5", "has a trailer that states duration_s nothing readable, found 120"),
        ("TRAILER,2,00:02:00", "has a trailer that states cost nothing readable, found 5"),
        ("", "has no trailer, expected one at its end"),
    ],
)
def test_a_source_that_is_not_what_its_trailer_says_is_refused(ends, work, line, problem):
    """It may have been cut off on its way."""
    books, _ = ends(f"{HEADER}{CALLS}{line}\n", work=work)

    assert (books.status, books.loaded, books.trailer) == ("refused", 0, None)
    assert str(books.reason).startswith(problem)


def test_a_layout_can_make_that_a_warning(ends):
    """What was stated is kept beside what was found."""
    books, told = ends(f"{HEADER}{CALLS}TRAILER,3,00:02:00,5.00\n", TRAILER.format(more='mismatch = "warn"'))

    assert (books.status, books.loaded) == ("loaded", 2)
    assert told == list(books.warnings) == ["has a trailer that states count 3, found 2"]
    assert books.trailer == AGREES | {"agrees": False, "count": {"stated": "3", "found": "2"}}


def test_rejects_count_and_totals_are_not_compared_then(ends):
    """The trailer counts what was written, and nobody knows what a bad record would add."""
    books, told = ends(f"{HEADER}{CALLS}a3,never,1,$1\nTRAILER,3,00:09:00,9.00\n")

    assert (books.status, books.loaded, books.rejected) == ("loaded", 2, 1)
    assert books.trailer == {"agrees": True, "count": {"stated": "3", "found": "3"}}
    assert told == ["totals of the trailer are not compared, as 1 records are rejected"]


def test_duplicates_are_records_like_any_other(ends):
    """What is in the table already was written all the same."""
    ends(f"{HEADER}{CALLS}TRAILER,2,00:02:00,5.00\n")
    books, _ = ends(f"{HEADER}{CALLS}{CALLS.splitlines()[0]}\nTRAILER,3,00:03:01,9.50\n")

    assert (books.status, books.duplicates, books.duplicates_in_source) == ("loaded", 3, 1)
    assert books.trailer is not None
    assert books.trailer["agrees"]


@pytest.mark.parametrize(("more", "stated"), [("", 2), ('count_of = "records"', 3), ("count_more = 2", 4)])
def test_what_is_counted_can_be_stated(ends, more, stated):
    """Records that are no calls, or header and trailer, may be in the number."""
    text = f"{HEADER}test,2026-01-05 10:00:01,0,$0\n{CALLS}TRAILER,{stated},00:02:00,5.00\n"

    assert ends(text, TRAILER.format(more=more))[0].status == "loaded"


def test_trailers_of_joined_files_count_together(ends):
    """Each states its own part."""
    more = CALLS.replace("a", "b")
    books, _ = ends(f"{HEADER}{CALLS}TRAILER,2,00:02:00,5.00\n{HEADER}{more}TRAILER,2,00:02:00,5.00\n")

    assert (books.status, books.loaded, books.filtered) == ("loaded", 4, 3)
    assert books.trailer is not None
    assert books.trailer["cost"] == {"stated": "10", "found": "10"}


@pytest.mark.parametrize("line", ["2 rows, 5.00 USD", "(2 rows, 5.00 USD)"])
def test_a_pattern_finds_a_trailer_that_is_a_sentence(ends, line):
    """As database tools write below what they export."""
    rule = "[trailer]\npattern = '\\(?(?P<count>[0-9]+) rows, (?P<cost>[0-9.]+) USD\\)?'\n"
    books, _ = ends(f"{HEADER}{CALLS}{line}\n", rule)

    assert (books.status, books.filtered) == ("loaded", 1)
    assert books.trailer == {name: AGREES[name] for name in ("agrees", "count", "cost")}


@pytest.mark.parametrize(("more", "growing"), [("required = false", ""), ("", "growing = true")])
def test_a_source_may_lack_its_trailer(ends, more, growing):
    """Where it is not always written, or not yet."""
    assert ends(f"{HEADER}{CALLS}", TRAILER.format(more=more), growing=growing)[0].status == "loaded"


def test_totals_have_units_of_their_own(ends):
    """Minutes, and cents without a point."""
    rule = (
        '[trailer]\nfirst = "T"\n[[trailer.totals]]\nfield = "duration_s"\ncolumn = 2\nunit = "min"\n'
        '[[trailer.totals]]\nfield = "cost"\ncolumn = 3\nimplied = 2\n'
    )
    books, _ = ends(f"{HEADER}{CALLS}T,2,500\n", rule)

    assert books.status == "loaded"
    assert books.trailer == {name: AGREES[name] for name in ("agrees", "duration_s", "cost")}


def test_without_a_rule_nothing_is_compared(ends):
    """A trailer is a record that does not fit, as ever."""
    books, _ = ends(f"{HEADER}{CALLS}TRAILER,2,00:02:00\n", "")

    assert (books.rejected_by, books.trailer) == ({"too_few_fields": 1}, None)


def test_frames_are_compared_where_they_are_a_whole_source(database_url, tmp_path):
    """A part of it has no trailer, and none that could be compared."""
    layout = parse_layout(LAYOUT.format(trailer=TRAILER.format(more=""), growing=""), origin="test")
    path = tmp_path / "calls.csv"
    path.write_text(f"{HEADER}{CALLS}TRAILER,3,00:02:00,5.00\n")
    calls, rejects = transform(extract(path, layout), layout)
    (part,) = extract_blocks(path, layout)
    some, none = transform(part, layout)
    with contextlib.closing(connect(database_url)) as connection:
        with pytest.raises(RefusedError, match="states count 3, found 2"):
            load(calls, connection, layout, rejects)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            books = load(some, connection, layout, none)

    assert (calls.attrs["filtered"], len(rejects), len(none)) == (1, 0, 0)
    assert (books.loaded, books.filtered, books.trailer) == (2, 1, None)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ('first = "T"\npattern = "x"', "expected either first or pattern"),
        ("count = 2", "expected either first or pattern"),
        ('pattern = "x"\ncount = 2', "found positions beside pattern"),
        ('first = "T"\n[[trailer.totals]]\nfield = "cost"', "found totals without column"),
        ('first = "T"\n[[trailer.totals]]\nfield = "costs"\ncolumn = 2', 'found field "costs", which is no field, did'),
        ('first = "T"\n[[trailer.totals]]\nfield = "call_id"\ncolumn = 2', "call_id is of type text, expected one of"),
        ('first = "T"\n[[trailer.totals]]\nfield = "cost"\ncolumn = 2\nunit = "s"', "expected a unit beside durations"),
        ('pattern = "(?P<sum>.*)"', 'found field "sum", which is no field'),
        ('first = "T"\ncounts = 2', "trailer.counts: unknown key, did you mean"),
    ],
)
def test_a_rule_that_cannot_be_is_an_error(tmp_path, rule, problem):
    """Said with the layout, before anything is read."""
    (tmp_path / "stated.toml").write_text(LAYOUT.format(trailer=f"[trailer]\n{rule}\n", growing=""))
    with pytest.raises(LayoutError) as caught:
        load_layout(str(tmp_path / "stated.toml"))

    assert problem in str(caught.value)


RECORD_TYPES = """
grammar = 1
name = "typed_records"
table = "calls_typed"
key = ["caller", "started_at"]
event_time = "started_at"

[dialect]
header = false

[[skip]]
column = 1
in = ["019"]

[trailer]
first = "002"
count = 4
totals = [{ field = "cost", column = 5, implied = 3 }]

[[fields]]
column = 2
name = "caller"
type = "text"

[[fields]]
column = 3
name = "started_at"
type = "timestamp"
format = "%Y%m%d%H%M%S%z"
required = true

[[fields]]
column = 4
name = "cost"
type = "money"
currency = "EUR"
implied = 3
"""


@pytest.mark.parametrize(("total", "status"), [("1250", "loaded"), ("1251", "refused")])
def test_control_totals_may_stand_before_the_records(database_url, tmp_path, total, status):
    """As in files of record types, whose first record states their number and charge with implied decimals."""
    (tmp_path / "records.toml").write_text(RECORD_TYPES)
    path = tmp_path / "file.csv"
    path.write_text(
        f"002,XXXYY,00042,2,{total},20260105120000\n"
        "011,491700000001,20260105100001+0100,1000\n"
        "019,491700000001,20260105100002+0100,0\n"
        "011,491700000002,20260105100003+0100,250\n"
    )
    settings = Settings(layout=str(tmp_path / "records.toml"), database_url=database_url, redis_url="none")
    with open_servers(settings, {}, warn=pytest.fail) as servers:
        (books,) = run_sources([str(path)], settings, servers, progress=Watch())

    assert (books.status, books.read, books.filtered) == (status, 4, 2)
