"""Single-thread processes that extract and transform a phone-heavy file: one and two, with Dask and without."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

from benchmarks.experiments.asterisk import LAYOUT, TABLE
from benchmarks.measurements import Run
from benchmarks.process import BenchError, run_program
from benchmarks.rounds import Experiment, Way, run_of
from benchmarks.workbench import CALLS_DATABASE, Dataset, Workbench

MOST_RECORDS = 1_000_000


def experiment(bench: Workbench) -> Experiment:
    """Return the experiment."""
    calls = bench.sample("asterisk", min(MOST_RECORDS, bench.sizes.records), days=bench.sizes.days, layout=TABLE)
    return Experiment(
        name="workers",
        title="Extraction and transformation alone, of quoted Asterisk records with phone numbers normalised",
        records=calls.records,
        bytes=calls.bytes,
        notes=(
            "Seconds are those of the work, starts of processes and imports left out. Without Dask, two processes that "
            "know nothing of each other take every other block: what the machine can do.",
        ),
        ways=tuple(
            _working(bench, calls, count, how, label)
            for count, how, label in (
                (1, "plain", "one process, no Dask"),
                (2, "plain", "two processes, no Dask"),
                (1, "dask", "one Dask worker"),
                (2, "dask", "two Dask workers"),
            )
        ),
    )


def _working(bench: Workbench, calls: Dataset, count: int, how: str, label: str) -> Way:
    def run(_: int) -> Run:
        program = [sys.executable, "-m", "benchmarks.workers", str(calls.file), str(LAYOUT), str(count), how]
        finished = run_program(program, bench.servers.environ_of(CALLS_DATABASE, 1))
        figures = json.loads(finished.output)
        if figures.pop("records") != calls.records:
            raise BenchError(f"{label}: some records are missing")
        return replace(run_of(finished), seconds=figures.pop("work_s"))

    return Way(name=f"{how}_{count}", label=label, prepare=lambda _: bench.servers.forget_blocks(1), run=run)
