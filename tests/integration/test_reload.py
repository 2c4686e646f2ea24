"""Reload: the same content under other terms replaces what it brought, and the books point at each other."""

import pytest

from tests.call_logs import check_books, execute, record, run_on, write_log

TIMES = "select to_char(started_at, 'HH24:MI') from customer_call_logs order by 1"
CHAIN = "select id, status, reloads, superseded_by from trunkline.loads order by id"


@pytest.fixture
def source(tmp_path):
    return write_log(tmp_path / "calls.csv", [record(0), record(1), record(2, day=2)])


def test_another_zone_moves_the_calls(each_loadable_url, source):
    """Eight o'clock is five in UTC in Nairobi, and eight in UTC; without --reload it is refused and says so."""
    (first,) = run_on(each_loadable_url, source)
    (refused,) = run_on(each_loadable_url, source, timezone="UTC")
    assert execute(each_loadable_url, TIMES) == [("05:00",), ("05:01",), ("05:02",)]
    (reloaded,) = run_on(each_loadable_url, source, timezone="UTC", reload=True)

    assert (refused.status, refused.loaded) == ("refused", 0)
    assert "under the zone Africa/Nairobi, this load has UTC" in str(refused.reason)
    assert "'--reload' replaces what this very content brought" in str(refused.reason)
    assert (reloaded.status, reloaded.loaded, reloaded.duplicates) == ("loaded", 3, 0)
    assert execute(each_loadable_url, TIMES) == [("08:00",), ("08:01",), ("08:02",)]
    assert execute(each_loadable_url, CHAIN) == [
        (first.load_id, "loaded", None, reloaded.load_id),
        (refused.load_id, "refused", None, None),
        (reloaded.load_id, "loaded", first.load_id, None),
    ]
    check_books(each_loadable_url)


def test_what_lay_beside_reloaded_calls_is_looked_at_again(database_url, tmp_path):
    """Also where a change by hand elsewhere made the reloaded load itself forgotten before."""
    replace = tmp_path / "replace.toml"
    lines = ("grammar = 1", 'name = "replace"', 'extends = "customer_call_logs"', 'on_conflict = "replace"')
    replace.write_text("\n".join(lines))
    source = write_log(tmp_path / "a.csv", [record(1), record(1, cost="1.30"), record(2, day=2)])
    other = write_log(tmp_path / "b.csv", [record(1)])
    assert [books.status for books in run_on(database_url, source, other, other)] == ["loaded", "loaded", "unchanged"]
    execute(database_url, "delete from customer_call_logs_20220102")
    run_on(database_url, source, layout=str(replace), reload=True)
    (again,) = run_on(database_url, other)

    assert (again.status, again.conflicts) == ("loaded", 1)


def test_another_currency_is_another_amount(each_loadable_url, tmp_path):
    """The totals are by currency, too; amounts that name none are read in either."""
    source = write_log(tmp_path / "calls.csv", [record(n).replace("$", "") for n in range(3)])
    run_on(each_loadable_url, source)
    (reloaded,) = run_on(each_loadable_url, source, currency="KES", reload=True)

    assert reloaded.totals.to_dict()["cost"] == {"KES": "3.60"}
    assert execute(each_loadable_url, "select distinct currency from customer_call_logs") == [("KES",)]
    check_books(each_loadable_url)


def test_another_key_decides_anew_what_is_once(each_loadable_url, tmp_path):
    """Two destinations of one customer at one time are one call where the destination is not in the key."""
    source = write_log(tmp_path / "calls.csv", [record(1), record(1).replace("Nairobi", "Mombasa")])
    narrow = tmp_path / "narrow.toml"
    lines = ("grammar = 1", 'name = "narrow"', 'extends = "customer_call_logs"', 'key = ["customer_id", "started_at"]')
    narrow.write_text("\n".join(lines))
    (first,) = run_on(each_loadable_url, source)
    (refused,) = run_on(each_loadable_url, source, layout=str(narrow))
    (reloaded,) = run_on(each_loadable_url, source, layout=str(narrow), reload=True)

    assert (first.loaded, refused.status) == (2, "refused")
    assert "under another key than this layout's" in str(refused.reason)
    assert (reloaded.loaded, reloaded.conflicts) == (1, 1)
    check_books(each_loadable_url)


def test_what_was_reloaded_is_unchanged_on_its_new_terms_only(each_loadable_url, source):
    """The old terms are refused from now on: they would bring each call a second time."""
    run_on(each_loadable_url, source)
    (reloaded,) = run_on(each_loadable_url, source, timezone="UTC", reload=True)
    (again,) = run_on(each_loadable_url, source, timezone="UTC")
    (before,) = run_on(each_loadable_url, source)

    assert (again.status, again.load_id) == ("unchanged", reloaded.load_id)
    assert before.status == "refused"
    assert execute(each_loadable_url, "select count(*) from customer_call_logs") == [(3,)]


def test_a_reload_that_is_refused_changes_nothing(each_loadable_url, tmp_path):
    """The calls of the earlier load are there as before, and its books say nothing of it."""
    source = write_log(tmp_path / "calls.csv", [record(1), "x"])
    (first,) = run_on(each_loadable_url, source)
    (refused,) = run_on(each_loadable_url, source, timezone="UTC", reload=True, max_rejects="0")
    (again,) = run_on(each_loadable_url, source)

    assert refused.status == "refused"
    assert (again.status, again.load_id) == ("unchanged", first.load_id)
    check_books(each_loadable_url)


def test_other_sources_of_the_system_stand_in_the_way(each_loadable_url, tmp_path):
    """A table holds one system's calls on one set of terms; the refusal says what helps then, and it does."""
    sources = [write_log(tmp_path / f"{n}.csv", [record(n)]) for n in range(2)]
    run_on(each_loadable_url, *sources)
    (refused,) = run_on(each_loadable_url, sources[0], timezone="UTC", reload=True)
    assert refused.status == "refused"
    assert str(refused.reason).endswith("delete this system's calls and load all its sources again")
    execute(each_loadable_url, "delete from customer_call_logs where system = ''")
    books = run_on(each_loadable_url, *sources, timezone="UTC")

    assert [(each.status, each.loaded) for each in books] == [("loaded", 1)] * 2
    assert execute(each_loadable_url, TIMES) == [("08:00",), ("08:01",)]


def test_another_system_has_terms_of_its_own(each_loadable_url, source):
    """The same file of another switch, in another zone, into the same table."""
    run_on(each_loadable_url, source, system="nairobi")
    (books,) = run_on(each_loadable_url, source, system="london", timezone="Europe/London")

    assert (books.status, books.loaded) == ("loaded", 3)
    check_books(each_loadable_url)


def test_what_the_reloaded_source_shared_is_brought_back_by_the_other(each_loadable_url, tmp_path):
    """The other source's duplicates were the calls that the reload took away; it is not unchanged any more."""
    first = write_log(tmp_path / "first.csv", [record(1), record(2)])
    second = write_log(tmp_path / "second.csv", [record(2), record(3)])
    run_on(each_loadable_url, first, second)
    narrow = tmp_path / "less.toml"
    narrow.write_text(
        'grammar = 1\nname = "less"\nextends = "customer_call_logs"\n[[skip]]\ncolumn = "customer_id"\nin = ["1002"]\n'
    )
    (reloaded,) = run_on(each_loadable_url, first, layout=str(narrow), reload=True)
    (again,) = run_on(each_loadable_url, second)

    assert (reloaded.loaded, reloaded.filtered) == (1, 1)
    assert (again.status, again.loaded, again.duplicates) == ("loaded", 1, 1)
    check_books(each_loadable_url)


def test_a_partition_whose_name_was_given_away_gets_another(each_loadable_url, source):
    """Somebody archived a day under a new name; its index has kept the old one."""
    run_on(each_loadable_url, source)
    execute(
        each_loadable_url,
        "alter table customer_call_logs detach partition customer_call_logs_20220101;"
        "alter table customer_call_logs_20220101 rename to archive",
    )
    (books,) = run_on(each_loadable_url, source)

    assert (books.status, books.loaded, books.duplicates) == ("loaded", 2, 1)
    assert execute(each_loadable_url, "select count(*) from archive") == [(2,)]
