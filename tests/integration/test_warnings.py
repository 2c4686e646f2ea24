"""What is doubtful about a source reaches the user: told at once, in the books, and in what a run returns."""

from __future__ import annotations

import contextlib

import pytest

from trunkline.books.reading import show_load
from trunkline.database.connection import connect
from trunkline.extraction import extract
from trunkline.loading.load import load
from trunkline.progress import Watch
from trunkline.runner import check_sources, run_sources
from trunkline.servers import open_servers
from trunkline.settings.resolution import Settings
from trunkline.transformation import transform

CSV = """\
Customer_ID, call_cost,call_destination,call_date,call_duration
1001,$1.20,Nairobi,2022-01-01 10:00:01,00:05:30
"""
WARNING = "read the columns 'Customer_ID' as customer_id, ' call_cost' as call_cost: letter case and blanks apart"


@pytest.mark.parametrize("work", [check_sources, run_sources])
def test_a_warning_is_told_with_its_source_and_returned(database_url, tmp_path, work):
    """A check says what a run says."""
    path = tmp_path / "calls.csv"
    path.write_text(CSV)
    told: list[str] = []
    settings = Settings(layout="customer_call_logs", database_url=database_url, redis_url="none")
    with open_servers(settings, {}, warn=told.append) as servers:
        (books,) = work([str(path)], settings, servers, progress=Watch())

    assert (books.status, books.loaded) == ("loaded", 1)
    assert [one.startswith(f"{path}: {WARNING}") for one in told] == [True]
    assert [f"{path}: {one}" for one in books.warnings] == told
    assert books.to_dict()["warnings"] == list(books.warnings)


SAVED = (
    CSV.replace("Customer_ID, ", "customer_id,")
    + """\
1002,$1.20,2.35E+11,2022-01-01 10:00:01,00:05:30
1003,$1.20,Nairobi,1/2/2022 10:00,00:05:30
,,,,
"""
)
DAMAGE = [
    "spreadsheet damage: records: separators and nothing else (in 1 record)",
    "spreadsheet damage: destination: numbers rounded as in 2.35E+11, their digits are lost (in 1 record)",
    "spreadsheet damage: started_at: written as spreadsheets write times, not as the layout says (in 1 record)",
]


@pytest.mark.parametrize("work", [check_sources, run_sources])
@pytest.mark.parametrize("cached", [False, True])
def test_what_a_spreadsheet_did_is_named(database_url, redis_url, tmp_path, work, cached):
    """What it destroyed is rejected, the rest is loaded; also where the blocks come from the cache."""
    path = tmp_path / "calls.csv"
    path.write_text(SAVED.replace("\n", "\r"))
    settings = Settings(layout="customer_call_logs", database_url=database_url, redis_url=redis_url)
    with open_servers(settings, {}, warn=lambda _: None) as servers:
        if cached:
            check_sources([str(path)], settings, servers, progress=Watch())
        (books,) = work([str(path)], settings, servers, progress=Watch())

    assert (books.status, books.loaded, books.cache.hits) == ("loaded", 1, int(cached))
    assert books.rejected_by == {"bad_timestamp": 1, "missing_value": 1, "spreadsheet_damage": 1}
    assert list(books.warnings) == [
        "spreadsheet damage: all lines end with CR alone, as old spreadsheets write",
        *DAMAGE,
    ]


@pytest.mark.parametrize("work", [check_sources, run_sources])
def test_a_layout_can_refuse_what_a_spreadsheet_saved(database_url, tmp_path, work):
    """Nothing of it is loaded, and the reason says what was found."""
    path = tmp_path / "calls.csv"
    path.write_text(SAVED)
    (tmp_path / "strict.toml").write_text(
        'grammar = 1\nname = "strict"\nextends = "customer_call_logs"\ntable = "strict"\nspreadsheet = "refuse"\n'
    )
    settings = Settings(layout=str(tmp_path / "strict.toml"), database_url=database_url, redis_url="none")
    with open_servers(settings, {}, warn=lambda _: None) as servers:
        (books,) = work([str(path)], settings, servers, progress=Watch())

    assert (books.status, books.loaded) == ("refused", 0)
    assert str(books.reason).startswith("spreadsheet damage: records: separators and nothing else (in 1 record); dest")


def test_frames_are_judged_when_they_are_loaded(database_url, tmp_path):
    """The three functions in Python warn as a run does, with Python's own warnings."""
    path = tmp_path / "calls.csv"
    path.write_text(SAVED)
    calls, rejects = transform(extract(path, "customer_call_logs"), "customer_call_logs")
    with (
        contextlib.closing(connect(database_url)) as connection,
        pytest.warns(RuntimeWarning, match="calls.csv: spreadsheet damage") as told,
    ):
        books = load(calls, connection, "customer_call_logs", rejects)

    assert [str(one.message) for one in told] == [f"{path}: {each}" for each in DAMAGE]
    assert books.warnings == tuple(DAMAGE)


@pytest.mark.parametrize("work", [check_sources, run_sources])
def test_columns_that_are_not_loaded_are_named(database_url, tmp_path, work):
    """They are no reason to warn, and nobody should find out a year later."""
    path = tmp_path / "calls.csv"
    path.write_text(CSV.replace("Customer_ID, ", "customer_id,").replace("\n", ",x,y\n"))
    settings = Settings(layout="customer_call_logs", database_url=database_url, redis_url="none")
    with open_servers(settings, {}, warn=pytest.fail) as servers:
        (books,) = work([str(path)], settings, servers, progress=Watch())

    assert books.to_dict()["unknown_columns"] == ["x", "y"]


def test_warnings_are_kept_in_the_books(database_url, tmp_path):
    """Who looks at a load later finds them."""
    path = tmp_path / "calls.csv"
    path.write_text(CSV)
    settings = Settings(layout="customer_call_logs", database_url=database_url, redis_url="none")
    with open_servers(settings, {}, warn=lambda _: None) as servers:
        (books,) = run_sources([str(path)], settings, servers, progress=Watch())
    with contextlib.closing(connect(database_url)) as connection:
        kept = show_load(connection, books.load_id or 0).books

    assert kept.warnings == books.warnings != ()
