"""Many small files in one run, against one file with the same records."""

from __future__ import annotations

from benchmarks.experiments.load import start_up
from benchmarks.files import split
from benchmarks.rounds import Experiment
from benchmarks.ways import trunkline
from benchmarks.workbench import Dataset, Workbench

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
            trunkline.cold(bench, small, name="many_files", label=f"trunkline, {files} files"),
            trunkline.cold(bench, calls, name="one_file", label="trunkline, one file"),
        ),
    )
