"""Many small files in one run, against one file with the same records."""

from __future__ import annotations

from benchmarks.experiments.load import leaving_nothing, start_up
from benchmarks.files import split
from benchmarks.rounds import Experiment
from benchmarks.ways import trunkline
from benchmarks.workbench import CALLS_DATABASE, Dataset, Workbench

RECORDS_EACH = 10_000


def experiment(bench: Workbench) -> Experiment:
    """Return the experiment."""
    calls = bench.calls
    folder = calls.file.with_suffix(".parts")
    files = max(2, calls.records // RECORDS_EACH)
    split(calls.file, folder, calls.records, files)
    small = Dataset(file=folder, records=calls.records, expected=calls.expected)
    return Experiment(
        name="many",
        title=f"{files} small files of {calls.records // files:,} records in one run",
        records=calls.records,
        bytes=calls.bytes,
        ways=(
            start_up(trunkline.cold(bench, bench.nine, name="many_files", label="trunkline")),
            start_up(trunkline.cold(bench, bench.nine, name="one_file", label="trunkline")),
            *(
                leaving_nothing(bench, trunkline.cold(bench, data, name=name, label=label), CALLS_DATABASE)
                for data, name, label in (
                    (small, "many_files", f"trunkline, {files} files"),
                    (calls, "one_file", "trunkline, one file"),
                )
            ),
        ),
    )
