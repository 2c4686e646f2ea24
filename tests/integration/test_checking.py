"""What a check says is what a run right after it does, and a check writes nothing."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2.sql import SQL, Identifier

from tests.call_logs import granted_roles, outcome_of
from trunkline import Settings, run
from trunkline.progress import Watch
from trunkline.runner import check_sources
from trunkline.sample.writer import write_sample
from trunkline.servers import open_servers
from trunkline.tracing.auditing import verify_books
from trunkline.tracing.verifying import verify_sources

HEADER = "customer_id,call_cost,call_destination,call_date,call_duration"
FIRST = "1001,$1.20,Nairobi,2022-01-01 10:00:00,00:05:30"
SECOND = "1002,$2.50,Mombasa,2022-01-01 10:05:00,00:08:15"
DIRTY = (
    "1001,$1.2.0,Nairobi,2022-01-01 10:00:00,00:05:30",
    "1003,$0.50,Nakuru,2022-02-30 10:10:00,00:03:45",
    "1003,$0.50,Nakuru",
    '1003,"$0.50,Nakuru,2022-01-02 10:10:00,00:03:45',
)


@pytest.fixture
def settings(database_url):
    return Settings(database_url=database_url, redis_url="none", layout="customer_call_logs")


def check(sources, settings):
    with open_servers(settings, {}) as servers:
        return check_sources([str(source) for source in sources], settings, servers, progress=Watch(visible=False))


def written(settings):
    """Return the counts of all that a run leaves in the database."""
    with closing(psycopg2.connect(settings.database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("select relname from pg_class where relnamespace = 'public'::regnamespace order by 1")
        relations = cursor.fetchall()
        tables = ("loads", "blocks", "rejects", "totals", "staged", "readings", "call_tables", "load_partitions")
        counts = []
        for table in tables:
            cursor.execute(SQL("select count(*) from {}").format(Identifier("trunkline", table)))
            counts.append(cursor.fetchone())
        return relations, counts


def write(path, *records):
    path.write_text("\n".join((HEADER, *records)) + "\n", encoding="utf-8")
    return path


def agree(path, settings):
    """Check, run, and return the books, having made sure that they say the same and that the check wrote nothing."""
    before = written(settings)
    checked = [outcome_of(books) for books in check([path], settings)]
    assert written(settings) == before
    ran = run([str(path)], settings)
    assert checked == [outcome_of(books) for books in ran]
    return ran[0]


def test_a_fresh_database_gets_no_table(settings, tmp_path):
    """All calls are new; the call table is not made; the run right after says the same."""
    books = agree(write(tmp_path / "a.csv", FIRST, SECOND), settings)

    assert (books.status, books.loaded) == ("loaded", 2)


def test_what_is_unchanged_stays_unchanged(settings, tmp_path):
    """A check of loaded content names the earlier load, as a run does."""
    path = write(tmp_path / "a.csv", FIRST, SECOND)
    run([str(path)], settings)

    assert agree(path, settings).status == "unchanged"


def test_the_last_line_of_a_growing_file_waits(settings, tmp_path):
    """It is not counted until its line end is there; then it is loaded, and the calls before it are duplicates."""
    text = Path("src/trunkline/layouts/customer_call_logs.toml")
    layout = tmp_path / "own.toml"
    layout.write_text(text.read_text().replace("grammar = 1", "grammar = 1\ngrowing = true", 1))
    settings = settings.model_copy(update={"layout": str(layout)})
    path = tmp_path / "a.csv"
    path.write_text(f"{HEADER}\n{FIRST}\n{SECOND}")
    first = agree(path, settings)
    path.write_text(f"{HEADER}\n{FIRST}\n{SECOND}\n")
    then = agree(path, settings)

    assert (first.read, first.loaded) == (1, 1)
    assert (then.read, then.loaded, then.duplicates) == (2, 1, 1)


@pytest.mark.parametrize("policy", ["reject", "skip", "replace"])
def test_duplicates_and_conflicts_are_told_apart(settings, tmp_path, policy):
    """In the source, against earlier loads, and the same key with other values, under each policy of the layout."""
    text = Path("src/trunkline/layouts/customer_call_logs.toml")
    layout = tmp_path / "own.toml"
    layout.write_text(text.read_text().replace("grammar = 1", f'grammar = 1\non_conflict = "{policy}"', 1))
    settings = settings.model_copy(update={"layout": str(layout)})
    run([str(write(tmp_path / "a.csv", FIRST, SECOND))], settings)
    corrected = FIRST.replace("$1.20", "$1.30")
    third = FIRST.replace("1001", "1003")
    records = (corrected, third, third, third.replace("$1.20", "$7"), SECOND, SECOND, corrected, *DIRTY)
    books = agree(write(tmp_path / "b.csv", *records), settings)

    assert books.duplicates_in_source > 0
    assert books.duplicates >= books.duplicates_in_source
    assert books.conflicts > 0


@pytest.mark.parametrize("limit", ["1", "10%"])
def test_a_refusal_is_foreseen(settings, tmp_path, limit):
    """Too many rejects: the same status and the same counts."""
    settings = Settings(database_url=settings.database_url, redis_url="none", layout=settings.layout, max_rejects=limit)

    assert agree(write(tmp_path / "a.csv", FIRST, *DIRTY), settings).status == "refused"


@pytest.mark.parametrize(
    "text",
    ["", HEADER, "a,b\n1,2\n", f"{HEADER}\n{DIRTY[0]}\n", "customer_id\n1\n"],
    ids=lambda text: text[:20] or "empty",
)
def test_odd_sources_end_the_same(settings, tmp_path, text):
    """Empty, a header alone, other columns, nothing loadable."""
    path = tmp_path / "a.csv"
    path.write_text(text)
    agree(path, settings)


@pytest.mark.parametrize("seed", range(4))
def test_samples_that_overlap_end_as_checked(settings, tmp_path, seed):
    """Dirty files whose records overlap and come in another order, one after the other."""
    sample = tmp_path / "sample.csv"
    write_sample(sample, records=3_000, seed=seed, dirty=0.05, duplicates=0.1, conflicts=0.02, days=5)
    header, *lines = sample.read_bytes().splitlines(keepends=True)
    shuffle = random.Random(seed)
    for number in range(3):
        part = shuffle.sample(lines, k=1_500)
        path = tmp_path / f"{number}.csv"
        path.write_bytes(header + b"".join(part))
        books = agree(path, settings)

        assert books.is_balanced
        assert books.status == "loaded"


def test_a_sample_ends_as_it_says_of_itself(settings, tmp_path):
    """Whatever is wrong with it: the books have the records, reasons and sums that it was written with."""
    path = tmp_path / "calls.csv"
    sample = write_sample(path, records=2_000, dirty=0.05, duplicates=0.1, conflicts=0.1, too_long=1, torn=True, days=5)
    books = agree(path, settings)

    assert (books.read, books.duplicates) == (sample.records, sample.duplicates)
    assert books.rejected_by == sample.rejected_by
    assert (books.totals.duration_s, books.totals.cost) == (sample.duration_s, {"USD": sample.cost})


def test_a_reload_is_foreseen(settings, tmp_path):
    """Calls that a reload would take back are not counted as duplicates."""
    path = write(tmp_path / "a.csv", FIRST, SECOND, *DIRTY)
    run([str(path)], settings)
    settings = settings.model_copy(update={"reload": True})

    assert agree(path, settings).loaded == 2


def test_a_reader_may_check(settings, tmp_path):
    """A role that only reads books and calls gets the same numbers."""
    run([str(write(tmp_path / "a.csv", FIRST))], settings)
    with granted_roles(settings.database_url) as (_, reader_url):
        reader = settings.model_copy(update={"database_url": reader_url})
        (books,) = check([write(tmp_path / "b.csv", FIRST, SECOND, DIRTY[0])], reader)

    assert (books.status, books.loaded, books.duplicates, books.rejected) == ("loaded", 1, 1, 1)


def proved(path, settings):
    """Return what reading a source again shows, as (status, disagreements)."""
    with open_servers(settings, {}) as servers:
        proofs = list(verify_sources([str(path)], settings, servers, progress=Watch(visible=False)))
    return {(proof.status, tuple(proof.disagreements)) for proof in proofs}


@pytest.mark.filterwarnings("ignore:.* does not know are not loaded:RuntimeWarning")
@pytest.mark.parametrize(
    ("name", "timezone"),
    [
        ("asterisk_cdr_csv", "Africa/Nairobi"),
        ("avaya_ip_office_smdr", "Africa/Nairobi"),
        ("cucm_cdr", None),
        ("kamailio_flatstore", None),
        ("teams_pstn", None),
    ],
)
def test_other_layouts_end_as_checked(settings, tmp_path, name, timezone):
    """A part of a file, and then the whole of it with a record twice: checked, run and proved."""
    settings = settings.model_copy(update={"layout": name, "timezone": timezone})
    *lines, last = Path(f"tests/fixtures/layouts/{name}.csv").read_bytes().splitlines(keepends=True)
    part, whole = tmp_path / "part.csv", tmp_path / "whole.csv"
    part.write_bytes(b"".join(lines))
    whole.write_bytes(b"".join([*lines, last, *lines[-1:]]))
    books = [agree(path, settings) for path in (part, whole)]

    assert [each.status for each in books] == ["loaded", "loaded"]
    assert books[1].duplicates_in_source > 0
    assert proved(part, settings) | proved(whole, settings) == {("proved", ())}


HOSTILE = (
    "bad_utf8_split.csv columns_any_order.csv columns_missing.csv copy_end.csv duplicates.csv empty.csv "
    "header_again_wider.csv html.csv mixed_ends.csv nul_tail.csv stray_quotes_pair.csv torn_quote.csv trailer.csv "
    "utf_16_le.csv utf_32_be.csv"
)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_hostile_files_end_as_checked(settings):
    """One after the other into one table: each is checked, run, and proved unless it was refused."""
    for name in HOSTILE.split():
        path = Path("tests/corpus") / name
        status = agree(path, settings).status

        assert status in ("loaded", "unchanged", "refused"), name
        assert status == "refused" or proved(path, settings) == {("proved", ())}, name


def agree_together(paths, settings):
    """Check several sources with one command, run them with one command, and return what both say of each."""
    before = written(settings)
    checked = [outcome_of(books) for books in check(paths, settings)]
    assert written(settings) == before
    ran = run([str(path) for path in paths], settings)
    known = {"load_id": None}  # of a source that is unchanged since one before it: the check gave that no number
    assert [each | known for each in checked] == [outcome_of(books) | known for books in ran]
    return ran


@pytest.mark.parametrize("policy", ["reject", "skip", "replace"])
@pytest.mark.parametrize("reload", [False, True])
def test_sources_of_one_command_are_checked_as_they_follow(settings, tmp_path, policy, reload):
    """Each sees what the ones before it would have loaded, replaced and taken back; a refused one leaves nothing."""
    layout = tmp_path / "own.toml"
    lines = (f'on_conflict = "{policy}"', 'key = ["customer_id", "started_at"]')
    layout.write_text("\n".join(('grammar = 1\nname = "own"\nextends = "customer_call_logs"', *lines, "")))
    wanted = settings.model_copy(update={"layout": str(layout), "reload": reload})
    choose = random.Random(7)
    days = [FIRST.replace("1001", str(1001 + n)).replace("01-01", f"01-0{1 + n % 3}") for n in range(9)]
    pool = [day.replace("1.20", cost) for day in days for cost in ("1.20", "7.00")]
    texts = [choose.choices([*pool, *DIRTY], k=8) for _ in range(6)]
    run([str(write(tmp_path / "before.csv", *texts[0][:4]))], wanted)
    contents = [texts[0], texts[1], [DIRTY[0]], texts[0], texts[2], texts[0][:4], *texts[3:]]
    paths = [write(tmp_path / f"{number}.csv", *text) for number, text in enumerate(contents)]
    books = agree_together(paths, wanted)

    assert [each.status for each in books][:3] == ["loaded", "loaded", "refused"]
    assert sum(each.duplicates for each in books) > 0
    if not reload:  # which takes back calls that other sources brought as well
        proofs = [proved(path, wanted) for path, each in zip(paths, books, strict=True) if each.status != "refused"]
        assert proofs == [{("proved", ())}] * 8
    with closing(psycopg2.connect(settings.database_url)) as connection:
        assert verify_books(connection, warn=print).to_dict()["disagreements"] == {}


def test_sources_of_one_command_share_a_table_that_is_not_there_yet(settings, tmp_path):
    """The second finds the calls of the first; the same content again is unchanged."""
    paths = [
        write(tmp_path / "a.csv", FIRST),
        write(tmp_path / "b.csv", FIRST, SECOND),
        write(tmp_path / "c.csv", FIRST),
    ]
    books = agree_together(paths, settings)

    assert [(each.status, each.loaded, each.duplicates) for each in books] == [
        ("loaded", 1, 0),
        ("loaded", 1, 1),
        ("unchanged", 1, 0),
    ]
