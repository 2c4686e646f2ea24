"""All experiments in the order in which they run: the quick ones first."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.experiments import asterisk, dirty, load, long, many, new_day, overlap, small, workers
from benchmarks.rounds import Experiment
from benchmarks.workbench import Workbench

ORDER: Mapping[str, Callable[[Workbench], Experiment]] = {
    "load": load.experiment,
    "overlap": overlap.experiment,
    "asterisk": asterisk.experiment,
    "many": many.experiment,
    "workers": workers.experiment,
    "dirty": dirty.experiment,
    "small": small.experiment,
    "new_day": new_day.experiment,
    "long": long.experiment,
}
