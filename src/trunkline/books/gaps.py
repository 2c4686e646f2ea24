"""Missing and repeated sequence numbers, from the ranges that loads brought.  No I/O."""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, Final, Literal

DISORDER: Final = 1_000
"""How far a number may lie below the one before it, in order of time, and still belong to the same count: calls are
numbered as they begin, their legs and transfers later but with the same begin.  A larger fall is a new count."""

MOST: Final = 2**63  # beyond every number


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberRange:
    """Numbers that one load brought, both ends included, none missing between."""

    first: int
    last: int
    load_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """
    Numbers that are missing, or there more than once; both ends included.

    Attributes:
        loads: Of missing numbers the loads that have the one before and the one behind; of repeated ones all loads
            that have them, each once.
    """

    kind: Literal["missing", "repeated"]
    first: int
    last: int
    loads: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many numbers these are."""
        return self.last - self.first + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """
    What a switch counted: the numbers from first to last, and what is wrong with them.

    Attributes:
        stream: What counts for itself within the system, such as a node; "" where there is one count.
        run: 1, and one more each time the count began again.
    """

    system: str
    layout: str
    stream: str
    run: int
    first: int
    last: int
    gaps: tuple[Gap, ...]

    def total(self, kind: Literal["missing", "repeated"]) -> int:
        """Return how many numbers are missing, or repeated."""
        return sum(gap.count for gap in self.gaps if gap.kind == kind)

    def to_dict(self) -> dict[str, Any]:
        """Return what ``trunkline gaps --json`` writes for a count."""
        own = {name: getattr(self, name) for name in ("system", "layout", "stream", "run", "first", "last")}
        gaps = [
            {"kind": gap.kind, "first": gap.first, "last": gap.last, "count": gap.count, "loads": list(gap.loads)}
            for gap in self.gaps
        ]
        return own | {"missing": self.total("missing"), "repeated": self.total("repeated"), "gaps": gaps}


def find_gaps(ranges: Iterable[NumberRange], *, start: int | None = None) -> tuple[Gap, ...]:
    """
    Return what is missing and what is repeated among the numbers of *ranges*, in their order.

    Args:
        ranges: In any order; they may overlap.
        start: The number that the count is known to begin with; None: with the least that is there.

    >>> parts = [NumberRange(first=1, last=4, load_id=7), NumberRange(first=8, last=9, load_id=8)]
    >>> [(gap.kind, gap.first, gap.last, gap.loads) for gap in find_gaps(parts)]
    [('missing', 5, 7, (7, 8))]
    """
    ordered = sorted(ranges, key=lambda each: (each.first, each.last, each.load_id))
    found = [*_missing(ordered, start), *_repeated(ordered)]
    return tuple(sorted(found, key=lambda gap: (gap.first, gap.last)))


def _missing(ordered: Sequence[NumberRange], start: int | None) -> Iterator[Gap]:
    expected = start
    before: tuple[int, ...] = ()
    for each in ordered:
        if expected is not None and each.first > expected:
            yield Gap(kind="missing", first=expected, last=each.first - 1, loads=(*before, each.load_id))
        if expected is None or each.last >= expected:
            expected, before = each.last + 1, (each.load_id,)


def _repeated(ordered: Sequence[NumberRange]) -> Iterator[Gap]:
    """Yield the stretches that two ranges or more have, cut where the ranges that have them change."""
    edges = sorted({edge for each in ordered for edge in (each.first, each.last + 1)})
    waiting = list(reversed(ordered))
    there: list[NumberRange] = []
    for edge, after in pairwise(edges):
        there = [each for each in there if each.last >= edge]
        while waiting and waiting[-1].first <= edge:
            there.append(waiting.pop())
        if len(there) > 1:
            loads = tuple(sorted({each.load_id for each in there}))
            yield Gap(kind="repeated", first=edge, last=after - 1, loads=loads)


def split_runs(ranges: Iterable[NumberRange]) -> list[list[NumberRange]]:
    """
    Return ranges of a count that begins again at 0, apart by run.

    A run begins with the number 0, with a number that the run before has, or with one that lies far below it.

    Args:
        ranges: In the order of the times of their calls.
    """
    runs: list[_Run] = []
    for each in ranges:
        if not runs or not runs[-1].takes(each):
            runs.append(_Run())
        runs[-1].add(each)
    return [run.ranges for run in runs]


class _Run:
    """One run of a count, as far as it is known: its ranges, which do not overlap."""

    def __init__(self) -> None:
        self.ranges: list[NumberRange] = []
        self._ends: list[tuple[int, int]] = []  # sorted

    def takes(self, each: NumberRange) -> bool:
        """Tell whether a range that comes later may be of this run."""
        if each.first == 0 or self._ends[-1][1] - each.last > DISORDER:
            return False
        place = bisect(self._ends, (each.last, MOST))
        return place == 0 or self._ends[place - 1][1] < each.first

    def add(self, each: NumberRange) -> None:
        self.ranges.append(each)
        insort(self._ends, (each.first, each.last))


def gap_sums(counts: Iterable[Count]) -> list[dict[str, Any]]:
    """Return how many numbers are missing and repeated, for each system and layout where any is."""
    sums: dict[tuple[str, str], dict[str, int]] = {}
    for count in counts:
        if count.gaps:
            own = sums.setdefault((count.system, count.layout), {"missing": 0, "repeated": 0})
            own["missing"] += count.total("missing")
            own["repeated"] += count.total("repeated")
    return [{"system": system, "layout": layout} | own for (system, layout), own in sums.items()]


def counts_of(rows: Iterable[dict[str, Any]]) -> list[Count]:
    """
    Return the counts of all systems, from rows of the query ``list_ranges`` in its order.

    Of a run that began while we watched, the first number is known: 0.
    """
    counts = []
    for (system, layout, stream, restarts), group in groupby(rows, key=_counter):
        ranges = [NumberRange(first=row["first"], last=row["last"], load_id=row["load_id"]) for row in group]
        for number, run in enumerate(split_runs(ranges) if restarts else [ranges], 1):
            start = 0 if number > 1 else None
            counts.append(
                Count(
                    system=system,
                    layout=layout,
                    stream=stream,
                    run=number,
                    first=min(each.first for each in run) if start is None else start,
                    last=max(each.last for each in run),
                    gaps=find_gaps(run, start=start),
                )
            )
    return counts


def _counter(row: dict[str, Any]) -> tuple[str, str, str, bool]:
    return row["system"], row["layout"], row["stream"], row["restarts"]
