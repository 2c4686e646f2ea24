"""The usual file into an empty table, by everything that can; and what trunkline does when it meets it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from benchmarks.measurements import START
from benchmarks.rounds import Experiment, Way
from benchmarks.ways import peers, psql, trunkline
from benchmarks.workbench import CALLS_DATABASE, PEERS_DATABASE, Dataset, Workbench

LOADING: tuple[Callable[[Workbench, Dataset], Way], ...] = (
    psql.copy_text,
    psql.copy_bare,
    psql.copy_keyed,
    lambda bench, dataset: peers.peer_way(bench, peers.DUCKDB_BARE, dataset),
    lambda bench, dataset: peers.peer_way(bench, peers.DUCKDB_KEYED, dataset),
    lambda bench, dataset: peers.peer_way(bench, peers.POLARS, dataset),
    psql.staging,
    lambda bench, dataset: peers.peer_way(bench, peers.DLT, dataset),
    trunkline.uncached,
    trunkline.cold,
    trunkline.warm,
)


def experiment(bench: Workbench) -> Experiment:
    """Return the experiment."""
    calls = bench.calls
    return Experiment(
        name="load",
        title="The usual file into an empty table",
        records=calls.records,
        bytes=calls.bytes,
        notes=("A table without a key takes a call as often as it is sent.",),
        ways=(
            *_start_ups(bench),
            *(leaving_nothing(bench, make(bench, calls), PEERS_DATABASE, CALLS_DATABASE) for make in LOADING),
            *_again(bench, calls),
        ),
    )


START_ROUNDS = 3  # start-up varies little, and there is much of it


def start_up(way: Way) -> Way:
    """Return a way on nine records under the name by which it is taken off."""
    return replace(
        way,
        name=f"{way.name}{START}",
        label=f"{way.label}, nine records",
        at_most=START_ROUNDS,
        warms_up=False,
    )


def leaving_nothing(bench: Workbench, way: Way, *databases: str) -> Way:
    """Return a way that drops *databases* when its result is checked."""

    def clean(_: int) -> None:
        for database in databases:
            bench.servers.drop_database(database)

    return replace(way, clean=clean)


def _start_ups(bench: Workbench) -> Iterator[Way]:
    for make in LOADING:
        yield start_up(make(bench, bench.nine))


def _again(bench: Workbench, calls: Dataset) -> Iterator[Way]:
    yield trunkline.stages(
        bench, calls, name="stages_cold", label="extract and transform alone, cold cache", is_warm=False
    )
    yield trunkline.stages(
        bench, calls, name="stages_warm", label="extract and transform alone, warm cache", is_warm=True
    )
    yield trunkline.unchanged(
        bench, calls, name="unchanged", label="trunkline, unchanged file", database="bench_unchanged"
    )
    yield trunkline.unchanged(
        bench, bench.nine, name="unchanged_nine", label="trunkline, unchanged nine records", database="bench_nine"
    )
    yield trunkline.importing_pandas(bench)
