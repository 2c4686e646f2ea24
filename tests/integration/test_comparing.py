"""What is staged is compared with the call table before its turn comes, and what happens in between is not missed."""

import pytest

from tests.call_logs import check_books, execute, record, run_on, write_log
from trunkline import pipeline
from trunkline.database.retrying import retrying
from trunkline.errors import DatabaseBusyError
from trunkline.loading import publishing

THERE = [record(number, day=day) for day in (1, 2, 3) for number in range(100)]
LATE = [record(number, day=day) for day in (1, 2, 3) for number in range(50, 150)]
DIFFERING = [record(7, day=1, cost="9.00"), record(8, day=2, cost="9.00")]
COUNTS = "select status, loaded, duplicates, duplicates_in_source, conflicts from trunkline.loads where id = %s"
CALLS = "select started_at, customer_id, cost from customer_call_logs order by 1, 2"
OWN = """
with load as (select %s::bigint as id)
select loaded, (select loaded from trunkline.totals where load_id = l.id and measure = 'duration_s')
from trunkline.loads l where id = (select id from load)
union all
select count(*), sum(duration_s) from customer_call_logs where load_id = (select id from load)
"""
SCANS = "select seq_scan from pg_stat_user_tables where relname ~ '^customer_call_logs'"
COMPARED = "select count(compared_with), count(*) filter (where all_new), count(*) from trunkline.staged"


@pytest.fixture
def meanwhile(monkeypatch, database_url):
    """Do something once between the comparison and the publish; return how many tables were compared, and all new."""
    seen: list[tuple[int, ...]] = []

    def prepare(action=None):
        publish = pipeline._publish

        def act_and_publish(connection, job, load):
            if not seen:
                seen.append(execute(database_url, COMPARED)[0])
                if action is not None:
                    action()
            publish(connection, job, load)

        monkeypatch.setattr(pipeline, "_publish", act_and_publish)
        return seen

    return prepare


@pytest.fixture
def merged(monkeypatch):
    """The tables that are compared again under the lock."""
    found = []
    merge = publishing._merge

    def note_and_merge(cursor, table, load, staged, **rest):
        found.append(staged.relation)
        return merge(cursor, table, load, staged, **rest)

    monkeypatch.setattr(publishing, "_merge", note_and_merge)
    return found


@pytest.fixture
def there(database_url, tmp_path):
    """A load with calls of three days."""
    (books,) = run_on(database_url, write_log(tmp_path / "there.csv", THERE))
    return books


def counts_of(url, books):
    return execute(url, COUNTS, [books.load_id])[0]


def layout_of(tmp_path, on_conflict):
    path = tmp_path / "own.toml"
    path.write_text(f'extends = "customer_call_logs"\nname = "customer_call_logs"\non_conflict = "{on_conflict}"\n')
    return str(path)


def test_a_comparison_stands_where_nothing_happens(database_url, tmp_path, there, meanwhile, merged):
    """Nothing is compared again, and the balance is that of a comparison call by call."""
    seen = meanwhile()
    (books,) = run_on(database_url, write_log(tmp_path / "late.csv", LATE))

    assert seen == [(3, 0, 3)]
    assert merged == []
    assert counts_of(database_url, books) == ("loaded", 150, 150, 0, 0)
    check_books(database_url)


def test_tables_of_new_calls_alone_are_known_as_such(database_url, tmp_path, there, meanwhile, merged):
    """So that nothing has to be looked for under the lock."""
    seen = meanwhile()
    late = [record(number, day=day) for day in (1, 2) for number in range(100, 130)]
    (books,) = run_on(database_url, write_log(tmp_path / "late.csv", late))

    assert seen == [(2, 2, 2)]
    assert merged == []
    assert counts_of(database_url, books) == ("loaded", 60, 0, 0, 0)
    check_books(database_url)


@pytest.mark.parametrize(("on_conflict", "duplicates", "conflicts"), [("reject", 150, 2), ("skip", 152, 2)])
def test_what_differs_and_what_comes_twice_is_told_apart(
    database_url, tmp_path, there, meanwhile, merged, on_conflict, duplicates, conflicts
):
    """Each repeat in the source is one, whether its call is new or was there; each other value is a conflict."""
    seen = meanwhile()
    source = write_log(tmp_path / "late.csv", [*LATE, *DIFFERING, record(60, day=1), record(149, day=2)])
    (books,) = run_on(database_url, source, layout=layout_of(tmp_path, on_conflict))

    assert seen == [(3, 0, 3)]
    assert merged == []
    assert counts_of(database_url, books) == ("loaded", 150, duplicates + 2, 2, conflicts)
    check_books(database_url)


@pytest.mark.parametrize(
    ("statement", "loaded", "again"),
    [
        ("delete from customer_call_logs where customer_id = 1060", 153, 3),
        ("delete from customer_call_logs_20220102 where customer_id = 1060", 151, 3),
        ("update customer_call_logs set cost = 9 where customer_id = 1060", 150, 3),
        ("truncate customer_call_logs_20220103", 200, 3),
        ("drop table customer_call_logs_20220101", 200, 0),
        ("alter table customer_call_logs detach partition customer_call_logs_20220101", 200, 0),
    ],
    ids=["delete", "delete-partition", "update", "truncate", "drop", "detach"],
)
def test_calls_that_are_gone_meanwhile_are_loaded_again(
    database_url, tmp_path, there, meanwhile, merged, statement, loaded, again
):
    """A comparison does not stand once anybody has taken calls away or changed them."""
    meanwhile(lambda: execute(database_url, statement))
    (books,) = run_on(database_url, write_log(tmp_path / "late.csv", LATE))

    assert len(merged) == again
    status, new, duplicates, _, conflicts = counts_of(database_url, books)
    assert (status, new, new + duplicates + conflicts) == ("loaded", loaded, 300)
    assert conflicts == (3 if statement.startswith("update") else 0)
    own = execute(database_url, OWN, [books.load_id])
    assert own[0] == own[1] == (loaded, 60 * loaded)


@pytest.mark.parametrize("late", [LATE, LATE[50:100]], ids=["mixed", "all-new"])
def test_calls_that_somebody_inserts_by_hand_meanwhile_are_duplicates(
    database_url, tmp_path, there, meanwhile, merged, late
):
    """The books notice no insertion, but the unique index does, or the count of what was inserted."""
    run_on(database_url, write_log(tmp_path / "by_hand.csv", [record(120, day=1)]))
    execute(database_url, "create table by_hand as select * from customer_call_logs where customer_id = 1120")
    execute(
        database_url, "delete from customer_call_logs where customer_id = 1120; drop table customer_call_logs_20220103"
    )
    run_on(database_url, write_log(tmp_path / "more.csv", [record(200, day=day) for day in (1, 2)]))
    meanwhile(lambda: execute(database_url, "insert into customer_call_logs select * from by_hand"))
    (books,) = run_on(database_url, write_log(tmp_path / "late.csv", late))

    assert merged
    assert execute(
        database_url, "select count(*) from customer_call_logs where customer_id = 1120 and started_at < '2022-01-02'"
    ) == [(1,)]
    status, new, duplicates, _, conflicts = counts_of(database_url, books)
    assert (status, new + duplicates + conflicts) == ("loaded", len(late))


@pytest.mark.parametrize("on_conflict", ["reject", "skip"])
def test_what_another_run_publishes_meanwhile_is_once(database_url, tmp_path, there, meanwhile, merged, on_conflict):
    """Two runs with the same late calls: whoever publishes second compares again."""
    layout = layout_of(tmp_path, on_conflict)
    other = write_log(tmp_path / "other.csv", [*LATE[60:], *DIFFERING])
    meanwhile(lambda: run_on(database_url, other, layout=layout))
    (books,) = run_on(database_url, write_log(tmp_path / "late.csv", LATE), layout=layout)

    assert len(merged) == 3
    assert counts_of(database_url, books) == ("loaded", 10, 290, 0, 0)
    assert len(execute(database_url, CALLS)) == 450
    check_books(database_url)


def test_a_table_without_partitions_is_compared_as_well(database_url, tmp_path, meanwhile, merged):
    """All its calls are in one relation."""
    layout = tmp_path / "whole.toml"
    layout.write_text('extends = "customer_call_logs"\nname = "customer_call_logs"\npartition = "none"\n')
    run_on(database_url, write_log(tmp_path / "there.csv", THERE), layout=str(layout))
    merged.clear()
    seen = meanwhile()
    (books,) = run_on(database_url, write_log(tmp_path / "late.csv", [*LATE, *DIFFERING]), layout=str(layout))

    assert seen == [(1, 0, 1)]
    assert merged == []
    assert counts_of(database_url, books) == ("loaded", 150, 150, 0, 2)
    check_books(database_url)


@pytest.mark.parametrize("partition", ["day", "none"])
def test_calls_that_come_into_a_table_that_was_analyzed_empty_are_not_looked_for(database_url, tmp_path, partition):
    """The planner would go through the table once for each, and find what it has just inserted."""
    layout = tmp_path / "own.toml"
    layout.write_text(f'extends = "customer_call_logs"\nname = "customer_call_logs"\npartition = "{partition}"\n')
    path = write_log(tmp_path / "there.csv", [*THERE, THERE[0], record(7, day=1, cost="9.00")])
    (first,) = run_on(database_url, path, layout=str(layout))
    for harm in ("truncate customer_call_logs", "analyze customer_call_logs"):
        execute(database_url, harm)
    seen = sum(count for (count,) in execute(database_url, SCANS))
    (books,) = run_on(database_url, path, layout=str(layout))

    assert sum(count for (count,) in execute(database_url, SCANS)) - seen < len(THERE)
    assert counts_of(database_url, books) == counts_of(database_url, first) == ("loaded", 300, 1, 1, 1)
    by_books, by_calls = execute(database_url, OWN, [books.load_id])
    assert by_books == by_calls


def test_what_was_compared_and_not_published_is_taken_up(database_url, tmp_path, there, monkeypatch, merged):
    """The next attempt goes on with what the first one found."""
    publish = pipeline._publish
    failed: list[int] = []

    def fail_once(connection, job, load):
        if not failed:
            failed.append(load.load_id)
            raise DatabaseBusyError("for once")
        publish(connection, job, load)

    monkeypatch.setattr(pipeline, "_publish", fail_once)
    monkeypatch.setattr("trunkline.runner.retrying", retrying)
    with pytest.warns(RuntimeWarning, match="for once"):
        (books,) = run_on(database_url, write_log(tmp_path / "late.csv", LATE))

    assert failed == [books.load_id]
    assert merged == []
    assert counts_of(database_url, books) == ("loaded", 150, 150, 0, 0)
    check_books(database_url)
