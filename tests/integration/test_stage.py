"""Staged tables are sealed once the blocks have passed them, and what still comes for them is not lost."""

from functools import partial

import pytest

from tests.call_logs import check_books, execute, outcome_of, record, run_on, write_log
from trunkline import pipeline, runner
from trunkline.database.retrying import retrying
from trunkline.errors import DatabaseAwayError
from trunkline.framing.borders import BlockSizes
from trunkline.loading import sealing
from trunkline.loading import stage as stage_module

DAYS = [[record(number, day=day) for number in range(200)] for day in range(1, 9)]
ORDERED = [line for day in DAYS for line in day]
SEALED = "select count(*) from trunkline.staged where sealed"
CALLS = "select customer_id, started_at, cost, source_line, load_id = %s from customer_call_logs order by 1, 2"
REJECTS = """
select source_line, code, raw, kept_source_line, kept_load_id = %s from trunkline.rejects where load_id = %s order by 1
"""
EMPTY_BOOKS = "drop table if exists customer_call_logs cascade; truncate trunkline.loads, trunkline.call_tables cascade"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr("trunkline.framing.borders.BLOCK_SIZES", BlockSizes(least=2_048, usual=4_096, most=8_192))


@pytest.fixture
def sealed_early(database_url, monkeypatch):
    """How many tables each load has sealed when all its blocks are there."""
    found = []
    seal = pipeline._seal

    def count_and_seal(*arguments):
        found.append(execute(database_url, SEALED)[0][0])
        seal(*arguments)

    monkeypatch.setattr(pipeline, "_seal", count_and_seal)
    return found


@pytest.fixture
def reopened(monkeypatch):
    """The tables that are opened again."""
    found = []

    def note(cursor, load_id, staged):
        found.append(staged.relation)
        sealing.reopen(cursor, load_id, staged)

    monkeypatch.setattr(stage_module, "reopen", note)
    return found


def test_days_that_the_blocks_have_passed_are_sealed_meanwhile(database_url, tmp_path, sealed_early, reopened):
    """Of eight days in order, all but the last ones; none has to be opened again."""
    (books,) = run_on(database_url, write_log(tmp_path / "calls.csv", ORDERED))

    assert (books.status, books.loaded) == ("loaded", 1_600)
    assert sealed_early[0] >= 4
    assert reopened == []
    check_books(database_url)


@pytest.mark.parametrize("on_conflict", ["reject", "skip", "replace"])
@pytest.mark.parametrize("there", [False, True], ids=["new", "there"])
def test_what_comes_late_counts_as_if_it_came_in_time(
    database_url, tmp_path, monkeypatch, reopened, on_conflict, there
):
    """New calls, equal ones and conflicts for days that were sealed, and had some: all is as if sealed at the end."""
    late = [record(300, day=1), record(5, day=1), record(6, day=1, cost="9.00"), record(7, day=2, cost="8.00")]
    repeated = [*DAYS[0], record(8, day=1), record(9, day=1, cost="7.00"), *ORDERED[200:]]
    source = write_log(tmp_path / "calls.csv", [*repeated, *late])
    layout = tmp_path / "own.toml"
    layout.write_text(f'extends = "customer_call_logs"\nname = "own"\non_conflict = "{on_conflict}"\n')
    old = write_log(tmp_path / "old.csv", [record(6, day=1), record(301, day=2)]) if there else None
    found = []
    for most_reopened in (10, -1):
        monkeypatch.setattr(stage_module, "MOST_REOPENED", most_reopened)
        *_, books = run_on(database_url, *([old] if old else []), source, layout=str(layout))
        rejects = execute(database_url, REJECTS, [books.load_id, books.load_id])
        found.append((outcome_of(books), execute(database_url, CALLS, [books.load_id]), rejects))
        if not (there and on_conflict == "replace"):  # what is replaced stays in the books of the load before
            check_books(database_url)
        execute(database_url, EMPTY_BOOKS)

    assert found[0] == found[1]
    assert found[0][0]["loaded"] > 1_590
    assert len(reopened) == (0 if on_conflict == "replace" else 2)


def test_a_source_without_order_is_sealed_at_the_end(database_url, tmp_path, monkeypatch, sealed_early, reopened):
    """Each table is opened again once at most, and after some of them nothing is sealed early any more."""
    monkeypatch.setattr(stage_module, "MOST_REOPENED", 3)
    again = [record(number, day=day) for day in range(1, 9) for number in range(200, 400)]
    (books,) = run_on(database_url, write_log(tmp_path / "calls.csv", [*ORDERED, *again]))

    assert (books.status, books.loaded) == ("loaded", 3_200)
    assert 3 <= len(reopened) == len(set(reopened)) <= 8
    assert sealed_early[0] <= 4
    check_books(database_url)


def test_a_later_attempt_opens_what_an_earlier_one_sealed(database_url, tmp_path, monkeypatch, sealed_early, reopened):
    """The connection is lost when some days are sealed; the day that comes back is in the blocks that are left."""
    stage_block = pipeline._stage_block
    lost: list[int] = []

    def lose_late(job, load, stage, task, worked):
        if not lost and task.block.position >= 12:
            lost.append(execute(database_url, SEALED)[0][0])
            raise DatabaseAwayError("the connection was lost")
        stage_block(job, load, stage, task, worked)

    monkeypatch.setattr(pipeline, "_stage_block", lose_late)
    monkeypatch.setattr(runner, "retrying", partial(retrying, sleep=lambda _: None))
    source = write_log(tmp_path / "calls.csv", [*ORDERED, record(300, day=1), record(5, day=1)])
    with pytest.warns(RuntimeWarning, match="trying again"):
        (books,) = run_on(database_url, source)

    assert (books.status, books.loaded, books.duplicates_in_source) == ("loaded", 1_601, 1)
    assert lost[0] > 0
    assert len(reopened) == 1
    assert execute(database_url, "select count(*) from trunkline.loads") == [(1,)]
    check_books(database_url)
