"""What was measured: the runs of every way in every experiment, as values and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

START = "_start"
"""Ends the name of a way that is the same command on a file of nine records: what is left of it is start-up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """
    One counted run of a way.

    Attributes:
        seconds, cpu_s, peak_bytes: As of `process.Finished`.
        server_cpu_s: What PostgreSQL took meanwhile; None where that cannot be told.
        figures: What else the way counts, such as ``stage_cpu_s`` or ``blocks``.
    """

    seconds: float
    cpu_s: float = 0.0
    peak_bytes: int = 0
    server_cpu_s: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class WayResult:
    """What a way is, in words, and its counted runs."""

    label: str
    keeps: str
    runs: tuple[Run, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentResult:
    """
    What an experiment was about, the size of its input, and its ways by name.

    Attributes:
        measured: When, at which commit, and how busy the machine was before.
    """

    title: str
    records: int
    bytes: int
    notes: tuple[str, ...] = ()
    measured: str = ""
    ways: Mapping[str, WayResult] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurements:
    """
    Everything that a report is made of.

    Attributes:
        conditions: Versions, settings and sizes by name, as text.
        experiments: By name.
    """

    conditions: Mapping[str, str] = field(default_factory=dict)
    experiments: Mapping[str, ExperimentResult] = field(default_factory=dict)

    def runs(self, experiment: str, way: str) -> tuple[Run, ...]:
        """Return the counted runs of a way; none if it was not measured."""
        found = self.experiments.get(experiment)
        return found.ways[way].runs if found and way in found.ways else ()

    def seconds(self, experiment: str, way: str) -> float | None:
        """Return the median time of a whole command, or None if it was not measured."""
        return _median(run.seconds for run in self.runs(experiment, way))

    def net_seconds(self, experiment: str, way: str) -> float | None:
        """Return the median time of a way less that of the same command on nine records, where that was measured."""
        whole = self.seconds(experiment, way)
        return None if whole is None else whole - (self.seconds(experiment, way + START) or 0.0)

    def net_cpu_s(self, experiment: str, way: str) -> float | None:
        """Return the median CPU of a way and the server together, less that on nine records where it was measured."""
        whole = self._cpu_s(experiment, way)
        return None if whole is None else whole - (self._cpu_s(experiment, way + START) or 0.0)

    def _cpu_s(self, experiment: str, way: str) -> float | None:
        runs = self.runs(experiment, way)
        return _median(run.cpu_s + run.server_cpu_s for run in runs if run.server_cpu_s is not None)

    def figure(self, experiment: str, way: str, name: str) -> float | None:
        """Return the median of a figure of a way, or None if it was not measured."""
        return _median(run.figures[name] for run in self.runs(experiment, way) if name in run.figures)

    def peak_bytes(self, experiment: str, way: str) -> int | None:
        """Return the largest resident set that any run of a way had, or None if it was not measured."""
        return max((run.peak_bytes for run in self.runs(experiment, way)), default=None)

    def save(self, file: Path) -> None:
        """Write them as JSON."""
        file.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, file: Path) -> Measurements:
        """Read what `save` wrote."""
        found = json.loads(file.read_text(encoding="utf-8"))
        experiments = {name: _experiment(values) for name, values in found["experiments"].items()}
        return cls(conditions=found["conditions"], experiments=experiments)


def _experiment(values: Mapping[str, Any]) -> ExperimentResult:
    ways = {
        name: WayResult(label=way["label"], keeps=way["keeps"], runs=tuple(Run(**run) for run in way["runs"]))
        for name, way in values["ways"].items()
    }
    return ExperimentResult(**{**values, "notes": tuple(values["notes"]), "ways": ways})


def _median(values: Iterator[float]) -> float | None:
    found = list(values)
    return median(found) if found else None
