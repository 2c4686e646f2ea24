"""A small file, for programs that take too long over the usual one."""

from __future__ import annotations

from benchmarks.experiments.load import start_up
from benchmarks.rounds import Experiment
from benchmarks.ways import peers, trunkline
from benchmarks.workbench import Workbench

RECORDS, DAYS = 100_000, 4


def experiment(bench: Workbench) -> Experiment:
    """Return the experiment."""
    calls = bench.known(bench.sample("small", RECORDS, days=DAYS))
    return Experiment(
        name="small",
        title="A small file",
        records=calls.records,
        bytes=calls.bytes,
        ways=(
            start_up(peers.peer_way(bench, peers.PANDAS, bench.nine)),
            start_up(trunkline.cold(bench, bench.nine)),
            peers.peer_way(bench, peers.PANDAS, calls),
            trunkline.cold(bench, calls),
        ),
    )
