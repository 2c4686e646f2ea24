"""What is doubtful about a source reaches the user: told at once, in the books, and in what a run returns."""

from __future__ import annotations

import contextlib

import pytest

from trunkline.books.reading import show_load
from trunkline.database.connection import connect
from trunkline.progress import Watch
from trunkline.runner import check_sources, run_sources
from trunkline.servers import open_servers
from trunkline.settings.resolution import Settings

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
