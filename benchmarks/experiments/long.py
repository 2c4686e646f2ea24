"""A long file: cold, against a file of a tenth; grown by a hundredth; and as a rolling export."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from benchmarks.experiments.load import start_up
from benchmarks.files import append, cut, line_offsets, read_through
from benchmarks.measurements import Run
from benchmarks.rounds import Experiment, Way
from benchmarks.ways import trunkline
from benchmarks.workbench import Dataset, Workbench

PARTS = 30  # a rolling export loses the oldest of so many parts and gains a new one
HUNDRED = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class LongFile:
    """
    A long call log, and what follows it in time.

    Attributes:
        base: The long file itself.
        all: The same calls and later ones.
        days: Days of *base*.
    """

    base: Dataset
    all: Path
    days: int


def long_file(bench: Workbench) -> LongFile:
    """Return the long file, made if it is not there, with days to come for as many rounds as there are."""
    sizes = bench.sizes
    days = sizes.long_days
    all_days = max(ceil(days * (1 + (sizes.rounds + 1) / PARTS)) + 1, days + sizes.rounds + 4)
    everything = bench.sample("long", sizes.long_records * all_days // days, days=all_days)
    file = everything.file.with_suffix(".base.csv")
    if not file.exists():
        cut(everything.file, file, *line_offsets(everything.file, [1, 1 + sizes.long_records]))
    return LongFile(base=Dataset(file=file, records=sizes.long_records), all=everything.file, days=days)


def experiment(bench: Workbench) -> Experiment:
    """Return the experiment."""
    long = long_file(bench)
    base = bench.known(long.base)
    tenth = bench.known(bench.sample("tenth", base.records // 10, days=long.days))
    return Experiment(
        name="long",
        title="A long file: cold, grown, rolling",
        records=base.records,
        bytes=base.bytes,
        notes=(
            f"{long.days} days; no round to warm up, since one takes long.",
            "What grows or rolls was loaded before, and the table vacuumed and analyzed since, as autovacuum does; the "
            "file is in the page cache.",
            "Blocks are about 4 MiB: of a file with few of them a change at either end touches a large share.",
        ),
        warm_up=False,
        ways=(
            *(
                start_up(trunkline.cold(bench, bench.nine, name=name, label="trunkline"))
                for name in ("cold", "cold_tenth", "rolling")
            ),
            trunkline.cold(bench, tenth, name="cold_tenth", label="trunkline, cold, a file of a tenth"),
            trunkline.cold(bench, base),
            _grown(bench, long),
            _rolling(bench, long),
        ),
    )


def _grown(bench: Workbench, long: LongFile) -> Way:
    """Return the way of a file that has grown by a hundredth since it was last loaded, round after round."""
    records = long.base.records
    sizes = [records * (HUNDRED + number) // HUNDRED for number in range(bench.sizes.rounds + 1)]
    offsets = line_offsets(long.all, [1 + size for size in sizes])
    file, database, cache = long.base.file.with_suffix(".grown.csv"), "bench_grown", 2

    def prepare(number: int) -> None:
        if number == 1:
            cut(long.all, file, line_offsets(long.all, [1])[0], offsets[0])
            _first(bench, file, database, cache)
        with long.all.open("rb") as data, file.open("ab") as out:
            append(data, out, offsets[number - 1], offsets[number])
        bench.servers.settle(database)
        read_through(file)

    def run(number: int) -> Run:
        took, accounts = trunkline.run_trunkline(bench, file, database, cache)
        new = sizes[number] - sizes[number - 1]
        trunkline.expect(accounts, read=sizes[number], loaded=new, duplicates=sizes[number - 1], rejected=0)
        return took

    return Way(name="grown", label="trunkline, the file grown by 1 %", keeps=trunkline.FULL, prepare=prepare, run=run)


def _rolling(bench: Workbench, long: LongFile) -> Way:
    """Return the way of an export whose oldest thirtieth gives way to a new one, round after round."""
    records = long.base.records
    firsts = [records * number // PARTS for number in range(bench.sizes.rounds + 1)]
    begins = line_offsets(long.all, [1 + first for first in firsts])
    ends = line_offsets(long.all, [1 + first + records for first in firsts])
    file, database, cache = long.base.file.with_suffix(".rolling.csv"), "bench_rolling", 3

    def prepare(number: int) -> None:
        if number == 1:
            cut(long.all, file, begins[0], ends[0])
            _first(bench, file, database, cache)
        cut(long.all, file, begins[number], ends[number])
        bench.servers.settle(database)
        read_through(file)

    def run(number: int) -> Run:
        took, accounts = trunkline.run_trunkline(bench, file, database, cache)
        new = firsts[number] - firsts[number - 1]
        trunkline.expect(accounts, read=records, loaded=new, duplicates=records - new, rejected=0)
        return replace(took, figures=_blocks(bench, database, accounts[0]))

    return Way(name="rolling", label="trunkline, rolling export", keeps=trunkline.FULL, prepare=prepare, run=run)


def _first(bench: Workbench, file: Path, database: str, cache: int) -> None:
    """Load a file for the first time, and leave its blocks in the cache."""
    bench.servers.make_database(database)
    bench.servers.forget_blocks(cache)
    trunkline.run_trunkline(bench, file, database, cache)


def _blocks(bench: Workbench, database: str, account: trunkline.Account) -> dict[str, float]:
    """Return how many blocks a load had, and how many were parsed: those found in neither stage's cache."""
    asked = f"select count(*) from trunkline.blocks where load_id = {int(account['load_id'])}"
    return {"blocks": int(bench.servers.psql(database, asked).output), "blocks_parsed": account["cache"]["misses"] / 2}
