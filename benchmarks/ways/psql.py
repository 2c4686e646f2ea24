r"""psql's `\copy`, and SQL written by hand around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from benchmarks.measurements import Run
from benchmarks.process import BenchError
from benchmarks.rounds import Way, run_of
from benchmarks.workbench import PEERS_DATABASE, Dataset, Workbench

OVERLAP_DATABASE = "bench_overlap_sql"
FIRST_DAY = date(2021, 12, 31)  # in UTC, of calls from 2022-01-01 on in Nairobi


def making(bench: Workbench, script: str) -> Callable[[int], None]:
    """Return what makes an empty table in the database of the peers, itself made if it is not there."""

    def prepare(_: int) -> None:
        make_peers(bench)
        bench.servers.psql(PEERS_DATABASE, script=script, variables=days_of(bench))
        bench.servers.psql(PEERS_DATABASE, "checkpoint")

    return prepare


def days_of(bench: Workbench) -> dict[str, str]:
    """Return between which days the keyed table has partitions, as variables of `sql/keyed_table.sql`."""
    return {"first_day": str(FIRST_DAY), "last_day": str(FIRST_DAY + timedelta(days=bench.sizes.days))}


def make_peers(bench: Workbench) -> None:
    """Make the database of the peers, if it is not there."""
    there = bench.servers.psql("", f"select count(*) from pg_database where datname = '{PEERS_DATABASE}'")
    if int(there.output) == 0:
        bench.servers.make_database(PEERS_DATABASE, template="template0")


def _copy(bench: Workbench, table: str, file: Path, options: str = "format csv, header") -> Run:
    command = rf"\copy {table} from pstdin with ({options})"
    return run_of(bench.servers.psql(PEERS_DATABASE, command, stdin=file))


def _copy_cleaned(bench: Workbench, table: str, dataset: Dataset, script: str) -> Way:
    r"""Return `\copy` of the file as *script* cleans it into *table*; cleaned before the first round."""

    def prepare(number: int) -> None:
        bench.cleaned(dataset, script)
        making(bench, f"{table}_table.sql")(number)

    return Way(
        name=f"copy_{table}",
        label="",
        prepare=prepare,
        run=lambda _: _copy(bench, table, bench.cleaned(dataset, script)),
        check=lambda _: bench.check(PEERS_DATABASE, table, dataset),
    )


def copy_text(bench: Workbench, dataset: Dataset) -> Way:
    r"""Return `\copy` of the file as it is, all text."""
    return Way(
        name="copy_text",
        label="psql `\\copy` of the file as text",
        keeps="nothing: text, no key",
        prepare=making(bench, "text_table.sql"),
        run=lambda _: _copy(bench, "bare_text", dataset.file),
        check=lambda _: expect_count(bench, "bare_text", dataset.records),
    )


def copy_bare(bench: Workbench, dataset: Dataset) -> Way:
    r"""Return `\copy` of the cleaned file into a table without a key."""
    way = _copy_cleaned(bench, "bare", dataset, "clean.sql")
    return replace(way, label=r"psql `\copy` of cleaned CSV", keeps="cleaned before, no key")


def copy_keyed(bench: Workbench, dataset: Dataset) -> Way:
    r"""Return `\copy` of the cleaned file with its key into a table that has one."""
    way = _copy_cleaned(bench, "keyed", dataset, "clean_keyed.sql")
    label = r"psql `\copy` of cleaned CSV, keyed table"
    return replace(way, label=label, keeps="cleaned before, key; fails on any duplicate")


def staging(bench: Workbench, dataset: Dataset, *, database: str = PEERS_DATABASE) -> Way:
    """Return hand-written SQL: text into an unlogged table, then casts and ON CONFLICT DO NOTHING."""
    return Way(
        name="staging",
        label="hand-written staging SQL, keyed table",
        keeps="typed, key; one bad record fails all",
        prepare=making(bench, "keyed_table.sql"),
        run=lambda _: run_of(bench.servers.psql(database, script="staging.sql", stdin=dataset.file)),
        check=lambda _: bench.check(database, "keyed", dataset),
    )


def copy_asterisk(bench: Workbench, dataset: Dataset) -> Way:
    r"""Return `\copy` of a Master.csv as text."""
    return Way(
        name="copy_text",
        label="psql `\\copy` of the file as text",
        keeps="nothing: text, no key",
        prepare=making(bench, "asterisk_text_table.sql"),
        run=lambda _: _copy(bench, "asterisk_text", dataset.file, "format csv"),
        check=lambda _: expect_count(bench, "asterisk_text", dataset.records),
    )


def expect_count(bench: Workbench, table: str, records: int) -> None:
    """
    Compare the rows of a table of the peers with what there must be.

    Raises:
        BenchError: If there are more or fewer.
    """
    found = int(bench.servers.psql(PEERS_DATABASE, f"select count(*) from {table}").output)
    if found != records:
        raise BenchError(f"{table}: found {found} rows, expected {records}")


def staging_again(bench: Workbench, half: Dataset, dataset: Dataset) -> Way:
    """Return hand-written SQL on a file of which *half* is loaded already."""
    loaded, database = "bench_half_sql", OVERLAP_DATABASE
    way = staging(bench, dataset, database=database)

    def prepare(number: int) -> None:
        if number == 0:
            bench.servers.make_database(loaded, template="template0")
            bench.servers.psql(loaded, script="keyed_table.sql", variables=days_of(bench))
            bench.servers.psql(loaded, script="staging.sql", stdin=half.file)
        bench.servers.make_database(database, template=loaded)

    return replace(way, prepare=prepare)
