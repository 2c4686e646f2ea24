"""The goals, P1 to P14 and that of Dask: what each one divides by what, and how far it may go.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.measurements import Measurements

MIB = 1 << 20
ROUNDS = 5  # fewer counted runs than this make a verdict doubtful

Needs = tuple[tuple[str, str], ...]
Verdict = Literal["met", "missed", "not measured"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """
    One goal.

    Attributes:
        number: ``P1``; several goals may share one.
        what: What is compared, for people.
        bound: How large the figure may be, or how small where *at_least*.
        needs: The ways, by experiment and name, that must have been measured.
        figure: The figure from all that was measured; None where something it needs is not there.
        unit: Printed behind the figure.
    """

    number: str
    what: str
    bound: float
    needs: Needs
    figure: Callable[[Measurements], float | None]
    at_least: bool = False
    unit: str = ""

    def verdict(self, measured: Measurements) -> Verdict:
        """Tell whether the goal is met; the figure is not rounded before it is compared."""
        figure = self.figure(measured)
        if figure is None:
            return "not measured"
        return "met" if (figure >= self.bound if self.at_least else figure <= self.bound) else "missed"

    def fewest_runs(self, measured: Measurements) -> int:
        """Return how many counted runs the least measured of its ways has."""
        return min(len(measured.runs(*need)) for need in self.needs)

    @property
    def bound_text(self) -> str:
        """The bound as people write it."""
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}{self.unit}"


def divided(part: float | None, by: float | None) -> float | None:
    """Return a ratio; None where either is missing or, less its start-up, too short to be told from it."""
    return None if part is None or by is None or part <= 0 or by <= 0 else part / by


def _net_ratio(number: str, what: str, bound: float, experiment: str, part: str, by: str) -> Goal:
    """A goal on the ratio of two times, start-up taken off both."""
    return Goal(
        number=number,
        what=what,
        bound=bound,
        needs=((experiment, part), (experiment, by)),
        figure=lambda m: divided(m.net_seconds(experiment, part), m.net_seconds(experiment, by)),
    )


def _whole_ratio(number: str, what: str, bound: float, experiment: str, part: str, by: str) -> Goal:
    """A goal on the ratio of the times of two whole commands."""
    return Goal(
        number=number,
        what=what,
        bound=bound,
        needs=((experiment, part), (experiment, by)),
        figure=lambda m: divided(m.seconds(experiment, part), m.seconds(experiment, by)),
    )


def _cache_cost(measured: Measurements) -> float | None:
    ratio = divided(measured.net_seconds("load", "cold"), measured.net_seconds("load", "uncached"))
    return None if ratio is None else 100 * (ratio - 1)


def _blocks_parsed(measured: Measurements) -> float | None:
    parsed, blocks = (measured.figure("long", "rolling", name) for name in ("blocks_parsed", "blocks"))
    return None if parsed is None or not blocks else 100 * parsed / blocks


def _peak_mib(experiment: str, way: str) -> Callable[[Measurements], float | None]:
    def figure(measured: Measurements) -> float | None:
        peak = measured.peak_bytes(experiment, way)
        return None if peak is None else peak / MIB

    return figure


def _peak_difference(measured: Measurements) -> float | None:
    peaks = (_peak_mib("load", "cold")(measured), _peak_mib("long", "cold")(measured))
    present = [peak for peak in peaks if peak is not None]
    return None if len(present) < 2 else 100 * (max(present) / min(present) - 1)


GOALS: Sequence[Goal] = (
    _net_ratio("P1", "cold load ÷ `\\copy` into the same keyed table", 0.5, "load", "cold", "copy_keyed"),
    _net_ratio("P1b", "cold load ÷ `\\copy` into a bare table", 1.1, "load", "cold", "copy_bare"),
    _net_ratio("P2", "cold load ÷ DuckDB, distinct, keyed table", 0.5, "load", "cold", "duckdb_keyed"),
    _net_ratio("P2", "cold load ÷ DuckDB, distinct, bare table", 1.0, "load", "cold", "duckdb_bare"),
    _net_ratio("P3", "cold load ÷ hand-written staging SQL", 0.15, "load", "cold", "staging"),
    _net_ratio("P4", "a new day: into a long table ÷ into an empty one", 1.2, "new_day", "long_table", "empty_table"),
    _net_ratio("P5", "half already loaded ÷ hand-written staging SQL", 0.4, "overlap", "trunkline", "staging"),
    Goal(
        number="P6",
        what="CPU of extract and transform: warm cache ÷ cold",
        bound=0.2,
        needs=(("load", "stages_warm"), ("load", "stages_cold")),
        figure=lambda m: divided(
            m.figure("load", "stages_warm", "stage_cpu_s"), m.figure("load", "stages_cold", "stage_cpu_s")
        ),
    ),
    _whole_ratio("P7", "unchanged file ÷ unchanged nine records", 1.5, "load", "unchanged", "unchanged_nine"),
    _whole_ratio("P7", "unchanged nine records ÷ `import pandas`", 1.0, "load", "unchanged_nine", "import_pandas"),
    _whole_ratio("P8", "file grown by 1 % ÷ cold load, whole commands", 0.1, "long", "grown", "cold"),
    _net_ratio("P9", "rolling export, 1/30 new ÷ cold load", 0.35, "long", "rolling", "cold"),
    Goal(
        number="P9",
        what="rolling export: blocks parsed again",
        bound=10,
        unit=" %",
        needs=(("long", "rolling"),),
        figure=_blocks_parsed,
    ),
    Goal(
        number="P10",
        what="peak memory of our process, the usual file",
        bound=350,
        unit=" MiB",
        needs=(("load", "cold"),),
        figure=_peak_mib("load", "cold"),
    ),
    Goal(
        number="P10",
        what="peak memory of our process, the long file",
        bound=350,
        unit=" MiB",
        needs=(("long", "cold"),),
        figure=_peak_mib("long", "cold"),
    ),
    Goal(
        number="P10",
        what="difference of the two peaks",
        bound=10,
        unit=" %",
        needs=(("load", "cold"), ("long", "cold")),
        figure=_peak_difference,
    ),
    _net_ratio("P11", "the long file ÷ a file of a tenth", 10.5, "long", "cold", "cold_tenth"),
    Goal(
        number="P12",
        what="cost of writing the cache on a cold load",
        bound=12,
        unit=" %",
        needs=(("load", "cold"), ("load", "uncached")),
        figure=_cache_cost,
    ),
    Goal(
        number="P13",
        what="quoted Asterisk file, MB/s ÷ `\\copy` of it as text",
        bound=0.7,
        at_least=True,
        needs=(("asterisk", "trunkline"), ("asterisk", "copy_text")),
        figure=lambda m: divided(m.net_seconds("asterisk", "copy_text"), m.net_seconds("asterisk", "trunkline")),
    ),
    _net_ratio("P14", "200 files of 10,000 records in one run ÷ one file", 1.3, "many", "many_files", "one_file"),
    _whole_ratio("Dask", "phone-heavy file: two single-thread workers ÷ one", 0.6, "workers", "dask_2", "dask_1"),
)


def goals_of(numbers: Iterable[str]) -> tuple[Goal, ...]:
    """
    Return the goals with these numbers, in their order.

    Raises:
        ValueError: If there is no goal of a number; names those that there are.
    """
    wanted = {number.strip().lower() for number in numbers}
    known = dict.fromkeys(goal.number for goal in GOALS)
    unknown = wanted - {number.lower() for number in known}
    if unknown:
        raise ValueError(f"found {', '.join(sorted(unknown))}, expected some of {', '.join(known)}")
    return tuple(goal for goal in GOALS if goal.number.lower() in wanted)
