"""Sources that grow or roll on: blocks whose calls are in the table are not copied again; the books say the same."""

from threading import Barrier

import pytest

from tests.call_logs import HEADER, check_books, execute, record, run_on, write_log
from trunkline import Settings, pipeline, runner
from trunkline.framing.borders import BlockSizes
from trunkline.loading.known_blocks import add_known_blocks
from trunkline.progress import Watch
from trunkline.runner import check_sources
from trunkline.servers import open_servers

OLD = [record(number, day=1 + number // 500) for number in range(1_500)]
NEW = [record(number, day=4) for number in range(1_500, 1_600)]


@pytest.fixture(params=["another name", "the same name", "long"])
def grown_path(request, monkeypatch, tmp_path):
    """
    Where a source is that was at old.csv before and has grown.

    Under another name its blocks are asked for one by one; under the same those are that are where they were, some at
    once; and of a long one these are not even read.
    """
    if request.param == "long":
        monkeypatch.setattr("trunkline.runner.LONG_BYTES", 0)
    return tmp_path / ("grown.csv" if request.param == "another name" else "old.csv")


KNOWN = "select count(*), coalesce(sum(typed), 0)::int from trunkline.blocks where load_id = %s and known_from = %s"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    for module in ("framing.borders", "engine"):
        sizes = BlockSizes(least=4_096, usual=8_192, most=16_384)
        monkeypatch.setattr(f"trunkline.{module}.BLOCK_SIZES", sizes)


@pytest.fixture
def old_load(each_loadable_url, tmp_path):
    """The load of a source of 1,500 calls on three days."""
    (books,) = run_on(each_loadable_url, write_log(tmp_path / "old.csv", OLD))
    assert books.loaded == 1_500
    return books.load_id


def counts(books):
    return books.status, books.read, books.loaded, books.duplicates, books.rejected


def known(url, books, of):
    """How many blocks of a load are known from another, and their calls."""
    return execute(url, KNOWN, [books.load_id, of])[0]


def test_of_a_source_that_grew_only_the_end_is_copied(each_loadable_url, old_load, grown_path):
    """All but the last of the blocks before are known; counts and sums are as if all had been compared."""
    (books,) = run_on(each_loadable_url, write_log(grown_path, OLD + NEW))
    blocks, calls = known(each_loadable_url, books, old_load)

    assert counts(books) == ("loaded", 1_600, 100, 1_500, 0)
    assert blocks > 3
    assert calls > 1_000
    assert books.totals.duration_s == 100 * 60
    check_books(each_loadable_url)


def test_what_grew_in_its_place_is_asked_for_in_few_questions(each_loadable_url, old_load, tmp_path, monkeypatch):
    """Of the blocks of a source that are where they were several are asked for at once, with their own answers."""
    asked = []

    def ask(cursor, load_id, terms, blocks, identities):
        found = add_known_blocks(cursor, load_id, terms, blocks, identities)
        asked.append(([block.position for block in blocks], found))
        return found

    monkeypatch.setattr(pipeline, "add_known_blocks", ask)
    (books,) = run_on(each_loadable_url, write_log(tmp_path / "old.csv", OLD + NEW))
    asked.sort()

    assert counts(books) == ("loaded", 1_600, 100, 1_500, 0)
    assert asked[0] == ([0, 1, 2, 3], {0, 1, 2, 3})
    assert asked[-1] == ([asked[-1][0][0]], set())
    check_books(each_loadable_url)


def test_what_is_found_again_and_not_known_is_worked_on_side_by_side(
    each_loadable_url, old_load, tmp_path, monkeypatch
):
    """Being asked for together does not make them one piece of work."""
    both = Barrier(2)
    met: list[object] = []
    stage_block = pipeline._stage_block

    def stage_together(*arguments):
        if len(met) < 2:
            met.append(arguments)
            both.wait(timeout=30)
        stage_block(*arguments)

    monkeypatch.setattr(pipeline, "_stage_block", stage_together)
    (books,) = run_on(each_loadable_url, write_log(tmp_path / "old.csv", OLD), reload=True)

    assert counts(books) == ("loaded", 1_500, 1_500, 0, 0)
    assert len(met) == 2


def test_what_grows_a_little_again_and_again_has_no_more_blocks(each_loadable_url, old_load, tmp_path):
    """What is short at the end is read again with what came since, until it is long enough to stand."""
    blocks = "select count(*) from trunkline.blocks where load_id = %s"
    for more in range(1, 7):
        (books,) = run_on(each_loadable_url, write_log(tmp_path / "old.csv", OLD + NEW[:more]))
        assert counts(books) == ("loaded", 1_500 + more, 1, 1_499 + more, 0)

    before, after = (execute(each_loadable_url, blocks, [load_id])[0][0] for load_id in (old_load, books.load_id))
    assert after <= before + 1
    check_books(each_loadable_url)


def test_of_a_rolling_export_most_is_known(each_loadable_url, old_load, tmp_path):
    """Its head is gone, its end is new, and blocks end where their content says."""
    (books,) = run_on(each_loadable_url, write_log(tmp_path / "rolled.csv", OLD[100:] + NEW))
    blocks, calls = known(each_loadable_url, books, old_load)

    assert counts(books) == ("loaded", 1_500, 100, 1_400, 0)
    assert blocks > 3
    assert calls > 900
    check_books(each_loadable_url)


def test_known_blocks_stay_known_from_the_load_that_copied_them(each_loadable_url, old_load, tmp_path):
    """However often the source grows; each of its states is unchanged, then."""
    grown = write_log(tmp_path / "grown.csv", OLD + NEW)
    run_on(each_loadable_url, grown)
    (books,) = run_on(each_loadable_url, write_log(tmp_path / "more.csv", [*OLD, *NEW, record(1_700, day=4)]))

    assert counts(books) == ("loaded", 1_601, 1, 1_600, 0)
    assert known(each_loadable_url, books, old_load)[1] > 1_000
    (again,) = run_on(each_loadable_url, grown)
    assert again.status == "unchanged"


@pytest.mark.parametrize(
    "forgetting",
    [
        "delete from customer_call_logs where started_at < '2022-01-01 12:00+03' and customer_id = 1007",
        "delete from customer_call_logs_20220101 where customer_id = 1007",
        "alter table customer_call_logs detach partition customer_call_logs_20220101",
        "drop table customer_call_logs_20220101",
    ],
)
def test_what_was_deleted_by_hand_is_loaded_again(each_loadable_url, old_load, tmp_path, forgetting):
    """No block is known from a load whose calls were touched."""
    execute(each_loadable_url, forgetting)
    ((left,),) = execute(each_loadable_url, "select count(*) from customer_call_logs")
    (books,) = run_on(each_loadable_url, write_log(tmp_path / "grown.csv", OLD + NEW))

    assert counts(books) == ("loaded", 1_600, 1_600 - left, left, 0)
    assert known(each_loadable_url, books, old_load) == (0, 0)


def test_what_is_deleted_while_it_is_loaded_is_loaded_again(each_loadable_url, old_load, grown_path, monkeypatch):
    """What was known when it was accounted for is looked at again before it is published."""
    seal = pipeline._seal

    def delete_and_seal(*arguments):
        execute(each_loadable_url, "delete from customer_call_logs where customer_id = 1007")
        seal(*arguments)

    monkeypatch.setattr(pipeline, "_seal", delete_and_seal)
    monkeypatch.setattr(runner, "ATTEMPTS", 3)
    grown = write_log(grown_path, OLD + NEW)
    with pytest.warns(RuntimeWarning, match="were deleted or reloaded while it was loaded; trying again"):
        (books,) = run_on(each_loadable_url, grown)

    assert counts(books) == ("loaded", 1_600, 101, 1_499, 0)
    assert known(each_loadable_url, books, old_load) == (0, 0)


@pytest.mark.parametrize(
    ("records", "loaded", "duplicates", "in_source"),
    [
        ([*OLD, *OLD[:50], *NEW], 100, 1_550, 50),
        ([*OLD, *OLD], 0, 3_000, 1_500),
        ([*OLD[:700], record(3, cost="9.00"), *OLD[700:]], 0, 1_500, 0),
    ],
    ids=["records", "whole", "conflict"],
)
def test_repeats_of_a_known_block_are_duplicates_in_the_source(
    each_loadable_url, old_load, tmp_path, records, loaded, duplicates, in_source
):
    """As a check counts them, which compares everything; and once more when the source itself is known."""
    path = write_log(tmp_path / "joined.csv", records)
    wanted = Settings(database_url=each_loadable_url, redis_url="none", layout="customer_call_logs")
    with open_servers(wanted, {}) as servers:
        (checked,) = check_sources([path], wanted, servers, progress=Watch(visible=False))
    (books,) = run_on(each_loadable_url, path)
    (again,) = run_on(each_loadable_url, write_log(tmp_path / "again.csv", [*records, record(1_800, day=4)]))

    for found in (checked, books):
        assert (found.loaded, found.duplicates, found.duplicates_in_source) == (loaded, duplicates, in_source)
    assert known(each_loadable_url, books, old_load)[0] > 3
    assert (again.loaded, again.duplicates, again.duplicates_in_source) == (1, loaded + duplicates, in_source)
    assert again.conflicts == books.conflicts == checked.conflicts
    check_books(each_loadable_url)


@pytest.mark.parametrize(
    ("spoiled", "expected"),
    [
        ("no call", ("loaded", 1_601, 100, 1_500, 1)),
        (record(40, day=1), ("loaded", 1_601, 100, 1_501, 0)),
        (record(40, day=1, cost="7.00"), ("loaded", 1_601, 100, 1_500, 1)),
    ],
    ids=["rejected", "repeated", "conflict"],
)
def test_a_block_with_more_than_calls_is_read_again(each_loadable_url, tmp_path, grown_path, spoiled, expected):
    """So that its rejects are kept again, and its repeats and conflicts are told from other duplicates."""
    records = [*OLD[:50], spoiled, *OLD[50:]]
    (old,) = run_on(each_loadable_url, write_log(tmp_path / "old.csv", records))
    (books,) = run_on(each_loadable_url, write_log(grown_path, records + NEW))

    assert counts(books) == expected
    assert books.duplicates_in_source == old.duplicates_in_source
    assert books.conflicts == old.conflicts
    assert known(each_loadable_url, books, old.load_id)[0] > 3
    first = "select known_from from trunkline.blocks where load_id = %s and position = 0"
    assert execute(each_loadable_url, first, [books.load_id]) == [(None,)]
    check_books(each_loadable_url)


def test_nothing_is_known_to_a_reload(each_loadable_url, old_load, tmp_path):
    """It takes the calls away and brings them again."""
    (books,) = run_on(each_loadable_url, str(tmp_path / "old.csv"), reload=True)

    assert counts(books) == ("loaded", 1_500, 1_500, 0, 0)
    assert known(each_loadable_url, books, old_load) == (0, 0)


def test_nothing_is_known_of_another_system(each_loadable_url, old_load, tmp_path):
    """Its calls are compared one by one, by a key that leaves the system out."""
    (books,) = run_on(each_loadable_url, write_log(tmp_path / "grown.csv", OLD + NEW), system="other")

    assert counts(books) == ("loaded", 1_600, 100, 1_500, 0)
    assert known(each_loadable_url, books, old_load) == (0, 0)


def test_a_block_under_another_header_is_another(each_loadable_url, old_load, tmp_path):
    """The same bytes under another name may mean something else."""
    path = tmp_path / "other.csv"
    path.write_text("\n".join((HEADER.upper(), *OLD, *NEW, "")))
    with pytest.warns(RuntimeWarning, match="letter case"):
        (books,) = run_on(each_loadable_url, str(path))

    assert counts(books) == ("loaded", 1_600, 100, 1_500, 0)
    assert known(each_loadable_url, books, old_load) == (0, 0)
