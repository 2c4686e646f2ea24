"""A file of which every second record is loaded already."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.experiments.load import leaving_nothing, start_up
from benchmarks.files import every_second
from benchmarks.rounds import Experiment, Way
from benchmarks.ways import psql, trunkline
from benchmarks.workbench import Dataset, Workbench

LOADED, DATABASE = "bench_half", "bench_overlap"


def experiment(bench: Workbench) -> Experiment:
    """Return the experiment."""
    calls = bench.calls
    half = Dataset(file=calls.file.with_suffix(".half.csv"), records=calls.records // 2)
    if not half.file.exists():
        every_second(calls.file, half.file)
    return Experiment(
        name="overlap",
        title="A file of which every second record is loaded already",
        records=calls.records,
        bytes=calls.bytes,
        ways=(
            start_up(replace(trunkline.cold(bench, bench.nine), name="trunkline")),
            start_up(psql.staging(bench, bench.nine)),
            leaving_nothing(bench, _again(bench, half, calls), DATABASE),
            leaving_nothing(bench, psql.staging_again(bench, half, calls), psql.OVERLAP_DATABASE),
        ),
    )


def _again(bench: Workbench, half: Dataset, calls: Dataset) -> Way:
    way = trunkline.loading(
        bench,
        calls,
        name="trunkline",
        label="trunkline, cold",
        prepare=lambda _: None,
        database=DATABASE,
        loaded=calls.records - half.records,
    )

    def prepare(number: int) -> None:
        if number == 0:
            bench.servers.make_database(LOADED)
            trunkline.run_trunkline(bench, half.file, LOADED, None)
        bench.servers.make_database(DATABASE, template=LOADED)
        bench.servers.forget_blocks(0)

    return replace(way, prepare=prepare)
