"""A new day of calls into a table that holds a long history, and into an empty one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path

from benchmarks.experiments.load import start_up
from benchmarks.experiments.long import LongFile, long_file
from benchmarks.files import cut, offset_of_day, read_through
from benchmarks.measurements import Run
from benchmarks.rounds import Experiment, Way
from benchmarks.ways import trunkline
from benchmarks.workbench import CALLS_DATABASE, Workbench

FIRST_DAY = date(2022, 1, 1)  # of every sample
DATE_COLUMN = 3
DATABASE = "bench_long"


def experiment(bench: Workbench) -> Experiment:
    """Return the experiment."""
    long = long_file(bench)

    @cache
    def day_file(number: int) -> tuple[Path, int]:
        return _day(long, number)

    first, records = day_file(0)
    return Experiment(
        name="new_day",
        title="A new day of calls",
        records=records,
        bytes=first.stat().st_size,
        notes=(
            f"The long table holds {long.base.records:,} records when the first new day comes, vacuumed and analyzed.",
        ),
        begin=lambda: _history(bench, long),
        ways=(
            _start_up(bench, "long_table"),
            _start_up(bench, "empty_table"),
            _way(bench, day_file, "long_table", "trunkline, into a long table", DATABASE),
            _way(bench, day_file, "empty_table", "trunkline, into an empty table", CALLS_DATABASE),
        ),
    )


def _history(bench: Workbench, long: LongFile) -> None:
    bench.servers.make_database(DATABASE)
    trunkline.run_trunkline(bench, long.base.file, DATABASE, None)
    bench.servers.settle(DATABASE)


def _day(long: LongFile, number: int) -> tuple[Path, int]:
    """Return a file of one day after the long file's end, another in each round, and its number of records."""
    days = [FIRST_DAY + timedelta(days=long.days + 1 + number + more) for more in range(2)]
    file = long.base.file.with_suffix(f".day-{number}.csv")
    cut(long.all, file, *(offset_of_day(long.all, day.isoformat(), DATE_COLUMN) for day in days))
    return file, file.read_bytes().count(b"\n") - 1


def _start_up(bench: Workbench, name: str) -> Way:
    """Return the start-up of a way, measured as often as the way: it is the most of what a day's file takes."""
    return replace(start_up(trunkline.cold(bench, bench.nine, name=name, label="trunkline")), at_most=None)


def _way(bench: Workbench, day_file: Callable[[int], tuple[Path, int]], name: str, label: str, database: str) -> Way:
    def prepare(number: int) -> None:
        read_through(day_file(number)[0])
        if database == CALLS_DATABASE:
            bench.servers.make_database(database)
        bench.servers.forget_blocks(0)
        bench.servers.psql("", "checkpoint")

    def run(number: int) -> Run:
        file, records = day_file(number)
        took, accounts = trunkline.run_trunkline(bench, file, database, 0)
        trunkline.expect(accounts, read=records, loaded=records, duplicates=0, rejected=0)
        return took

    return Way(name=name, label=label, keeps=trunkline.FULL, prepare=prepare, run=run)
