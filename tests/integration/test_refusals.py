"""A source with too many rejects: the call table is as it was, and the books of the refusal say how bad it was."""

import pytest

from tests.call_logs import check_books, execute, record, run_on, write_log
from trunkline import Settings, run

CALLS = "select * from customer_call_logs order by record_key"
KEPT = "select code, count(*), min(source_line), max(source_line) from trunkline.rejects where load_id = %s group by 1"


def bad(number):
    return record(number).replace("$1.20", "free")


@pytest.fixture
def loaded(database_url, tmp_path):
    """A database with two calls of one load; returns what is in the table."""
    run_on(database_url, write_log(tmp_path / "first.csv", [record(1), record(2)]))
    return execute(database_url, CALLS)


@pytest.mark.parametrize(
    ("limit", "status"),
    [("1", "refused"), ("2", "loaded"), ("33%", "refused"), ("33.4%", "loaded"), ("0", "refused"), ("0%", "refused")],
)
def test_a_limit_is_exact(database_url, loaded, tmp_path, limit, status):
    """Two of six records are rejected, a third: one for its amount, one for its missing fields."""
    source = write_log(tmp_path / "calls.csv", [bad(3), "x", *(record(n) for n in range(4, 8))])
    (books,) = run_on(database_url, source, max_rejects=limit)

    assert (books.status, books.rejected, books.rejected_by) == (status, 2, {"bad_money": 1, "too_few_fields": 1})
    assert (execute(database_url, CALLS) == loaded) == (status == "refused")
    check_books(database_url)


def test_of_many_rejects_the_first_thousand_are_kept(database_url, loaded, tmp_path):
    """The counts are of all: 1,500 bad amounts from line 2 on, then 800 records that are too short."""
    source = write_log(tmp_path / "calls.csv", [*(bad(n) for n in range(1500)), *["x"] * 800, record(9)])
    (books,) = run_on(database_url, source, max_rejects="2299")

    assert (books.status, books.read, books.rejected) == ("refused", 2301, 2300)
    assert books.rejected_by == {"bad_money": 1500, "too_few_fields": 800}
    assert execute(database_url, KEPT, [books.load_id]) == [("bad_money", 1000, 2, 1001)]
    assert execute(database_url, CALLS) == loaded
    check_books(database_url)


def test_of_many_conflicts_the_first_thousand_are_kept(database_url, tmp_path):
    """All 1,200 calls came with another cost before; the rejects among them keep their place in the source."""
    run_on(database_url, write_log(tmp_path / "first.csv", [record(n) for n in range(1200)]))
    before = execute(database_url, CALLS)
    corrected = [record(n, cost="9.99") for n in range(1200)]
    (books,) = run_on(database_url, write_log(tmp_path / "corrected.csv", ["x", *corrected]), max_rejects="50%")

    assert (books.status, books.rejected, books.conflicts) == ("refused", 1201, 1200)
    assert books.rejected_by == {"conflict": 1200, "too_few_fields": 1}
    assert str(books.reason).startswith("1201 of 1201 records were rejected, allowed are 50%")
    assert sorted(execute(database_url, KEPT, [books.load_id])) == [
        ("conflict", 999, 3, 1001),
        ("too_few_fields", 1, 2, 2),
    ]
    assert execute(database_url, CALLS) == before
    check_books(database_url)


def test_a_source_without_a_loadable_record_is_refused(database_url, loaded, tmp_path):
    """Whatever the limit."""
    (books,) = run_on(database_url, write_log(tmp_path / "calls.csv", ["x", bad(1)]), max_rejects="100%")

    assert (books.status, books.read, books.loaded, books.rejected) == ("refused", 2, 0, 2)
    assert str(books.reason).startswith("none of 2 records could be loaded")
    assert execute(database_url, CALLS) == loaded
    check_books(database_url)


def test_a_record_taken_for_a_header_is_not_lost(database_url, loaded, tmp_path):
    """A file without its header, of one record: the layout's columns are missing, though no record follows."""
    source = tmp_path / "no_header.csv"
    source.write_text(record(3) + "\n")
    (books,) = run([source], Settings(database_url=database_url, redis_url="none", layout="customer_call_logs"))

    assert books.status == "refused"
    assert "expected also customer_id" in str(books.reason)
    assert execute(database_url, CALLS) == loaded


def test_a_refused_source_is_loaded_once_it_is_allowed(database_url, loaded, tmp_path):
    """Nothing of the refusal is in the way, and its books stay."""
    source = write_log(tmp_path / "calls.csv", [bad(3), record(4)])
    refused, again, allowed = (run_on(database_url, source, max_rejects=limit)[0] for limit in ("0", "0", "1"))

    assert [books.status for books in (refused, again, allowed)] == ["refused", "refused", "loaded"]
    assert allowed.loaded == 1
    assert execute(database_url, "select status, count(*) from trunkline.loads group by 1 order by 1") == [
        ("loaded", 2),
        ("refused", 2),
    ]
    check_books(database_url)
