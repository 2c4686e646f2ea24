"""Rounds: the ways of an experiment take turns, so that a machine whose speed drifts slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.measurements import START, ExperimentResult, Run, WayResult
from benchmarks.process import Finished


def nothing(number: int) -> None:
    """Do nothing, in any round."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """
    One way to do what an experiment is about.

    Attributes:
        name: Known to the goals.
        label: For people.
        keeps: What it keeps of trunkline's guarantee, in a few words.
        prepare: Called with the number of the round before its clock starts.
        run: Called with the number of the round; does it and returns what it took.
        check: Called after; raises if the result is wrong.
        clean: Called after that: what is left behind autovacuum would look through while the next way runs.
        at_most: Counted rounds, for slow ways that no goal needs, and for what is only start-up.
        warms_up: Whether it takes part in the round that is not counted.
    """

    name: str
    label: str
    run: Callable[[int], Run]
    keeps: str = ""
    prepare: Callable[[int], None] = nothing
    check: Callable[[int], None] = nothing
    clean: Callable[[int], None] = nothing
    at_most: int | None = None
    warms_up: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """
    Ways that are compared with each other.

    Attributes:
        begin: Called once, before the first round.
        warm_up: Whether a round that is not counted goes first; where a run takes minutes it does not.
    """

    name: str
    title: str
    records: int
    bytes: int
    ways: Sequence[Way]
    notes: tuple[str, ...] = ()
    begin: Callable[[], None] = field(default=lambda: None)
    warm_up: bool = True


def run_of(finished: Finished) -> Run:
    """Return a run as a program took it."""
    return Run(seconds=finished.seconds, cpu_s=finished.cpu_s, peak_bytes=finished.peak_bytes)


def _takes_part(way: Way, number: int) -> bool:
    """Tell whether a way runs in a round."""
    return way.warms_up if number == 0 else way.at_most is None or number <= way.at_most


def measure(
    experiment: Experiment,
    *,
    wanted: Collection[str] | None,
    rounds: int,
    limit_s: float,
    measured: str = "",
    say: Callable[[str], None],
    server_cpu_s: Callable[[], float | None] = lambda: None,
) -> ExperimentResult:
    """
    Run the ways in turn.

    Args:
        wanted: Names of ways; their start-up is measured with them.  None for all.
        rounds: Counted rounds.
        measured: When and under which conditions; kept with the result.
        limit_s: No round begins when the experiment has taken this many seconds and one round is counted.
        say: Told which round it is.
        server_cpu_s: Returns the CPU that the server has taken so far, if that can be told.

    Raises:
        BenchError: If any way fails or leaves a wrong result.
    """
    began = time.monotonic()
    ways = [way for way in experiment.ways if wanted is None or way.name.removesuffix(START) in wanted]
    runs: dict[str, list[Run]] = {way.name: [] for way in ways}
    experiment.begin()
    first = 0 if experiment.warm_up else 1
    for number in range(first, rounds + 1):
        if number > 1 and time.monotonic() - began > limit_s:
            say(f"{experiment.name}: out of time after {number - 1} of {rounds} rounds")
            break
        say(f"{experiment.name}: round {number} of {rounds}" if number else f"{experiment.name}: warming up")
        for way in ways:
            if not _takes_part(way, number):
                continue
            way.prepare(number)
            before = server_cpu_s()
            run = way.run(number)
            after = server_cpu_s()
            way.check(number)
            way.clean(number)
            if number:
                took = None if before is None or after is None else after - before
                runs[way.name].append(replace(run, server_cpu_s=took))
    return ExperimentResult(
        title=experiment.title,
        records=experiment.records,
        bytes=experiment.bytes,
        notes=experiment.notes,
        measured=measured,
        ways={way.name: WayResult(label=way.label, keeps=way.keeps, runs=tuple(runs[way.name])) for way in ways},
    )
