"""Clean input and dirty input: what rejects cost."""

from __future__ import annotations

from benchmarks.rounds import Experiment
from benchmarks.ways import trunkline
from benchmarks.workbench import Workbench

SHARES = (0.0, 0.01, 0.1)


def experiment(bench: Workbench) -> Experiment:
    """Return the experiment."""
    records = bench.sizes.records
    files = {share: bench.sample("dirty", records, days=bench.sizes.days, dirty=share) for share in SHARES}
    return Experiment(
        name="dirty",
        title="Clean and dirty input",
        records=records,
        bytes=files[0.0].bytes,
        notes=("Every damaged record is kept as a reject with its bytes, line, field and reason.",),
        ways=tuple(
            trunkline.cold(bench, file, name=f"dirty_{share:g}", label=f"trunkline, {share:.0%} of records damaged")
            for share, file in files.items()
        ),
    )
