"""Local times to UTC by the zone's own rules, for a whole column at once.

The rules come from the `tzdata` package and not from the machine, so that the same file gives the same times
everywhere; its version is part of a layout's fingerprint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import resources
from typing import Final, Literal
from zoneinfo import ZoneInfo

import numpy as np

from trunkline.fields.text_bytes import Ints, Mask

AmbiguousTime = Literal["reject", "earlier", "later"]

MICROSECONDS: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = datetime(1, 1, 3, tzinfo=UTC)  # datetime ends with the years 1 and 9999, and offsets need room
_LAST: Final = datetime(9999, 12, 29, tzinfo=UTC)
_MARGIN: Final = 2 * 86_400 * MICROSECONDS  # no zone is two days away from UTC


@dataclass(frozen=True, kw_only=True, eq=False)
class Universal:
    """
    Local times as UTC.

    Attributes:
        times: Microseconds since 1970 in UTC; arbitrary where the local time does not exist.
        ambiguous: Local times that the zone had twice (a clock set back).
        nonexistent: Local times that the zone never had (a clock set forward).
    """

    times: Ints
    ambiguous: Mask
    nonexistent: Mask


@dataclass(frozen=True, kw_only=True, eq=False)
class Witness:
    """
    What second clocks say of local times.

    Attributes:
        moments: Microseconds since 1970 in UTC; arbitrary where a record has no second clock.
        there: Which records have one.
        tolerance: How far both may differ, in microseconds.
    """

    moments: Ints
    there: Mask
    tolerance: int


CallWitness = Callable[[], Witness]
"""Makes a witness where one is needed: few files have a time that their zone had twice."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Changes:
    """
    The changes of a zone's offset over some years, in microseconds.

    Attributes:
        at: UTC times of the changes, ascending.
        offsets: Local time minus UTC: before the first change, then behind each; one longer than *at*.
    """

    at: Ints
    offsets: Ints


def to_universal(local: Ints, zone: str, ambiguous_time: AmbiguousTime) -> Universal:
    """
    Return local times as UTC.

    Args:
        local: Microseconds from 1970-01-01 00:00 on the local clock.
        zone: IANA name of the zone (``Africa/Nairobi``).
        ambiguous_time: Which of the two is meant by a time that the zone had twice; for ``reject`` the
            earlier one is returned, and the caller rejects what is marked.

    Raises:
        ValueError: If tzdata has no such zone.

    Source: which reading is the earlier one, and what a gap is: PEP 495.
    """
    nowhere = np.zeros(len(local), dtype=np.bool_)
    if not len(local):
        return Universal(times=local, ambiguous=nowhere, nonexistent=nowhere)
    changes = _near(local, zone)
    if not len(changes.at):
        return Universal(times=local - changes.offsets[0], ambiguous=nowhere, nonexistent=nowhere)
    before, after = changes.offsets[:-1], changes.offsets[1:]
    # Between these two walls the clock showed each time twice (offset falls) or never (offset rises).
    early = changes.offsets[np.searchsorted(changes.at + np.maximum(before, after), local, side="right")]
    late = changes.offsets[np.searchsorted(changes.at + np.minimum(before, after), local, side="right")]
    chosen = late if ambiguous_time == "later" else early
    return Universal(times=local - chosen, ambiguous=early > late, nonexistent=early < late)


def settled(universal: Universal, local: Ints, zone: str, witness: Witness) -> Universal:
    """Return *universal* with the times that the zone had twice settled, where the witness agrees with just one."""
    earlier, later = (to_universal(local, zone, which).times for which in ("earlier", "later"))
    is_earlier, is_later = (np.abs(each - witness.moments) <= witness.tolerance for each in (earlier, later))
    known = universal.ambiguous & witness.there & (is_earlier ^ is_later)
    times = np.where(known, np.where(is_later, later, earlier), universal.times)
    return Universal(times=times, ambiguous=universal.ambiguous & ~known, nonexistent=universal.nonexistent)


def offsets_at(times: Ints, zone: str) -> Ints:
    """
    Return how far the local clocks of a zone are ahead of UTC, in microseconds.

    Args:
        times: Microseconds since 1970 in UTC.
        zone: IANA name of the zone.

    Raises:
        ValueError: If tzdata has no such zone.
    """
    if not len(times):
        return times
    changes = _near(times, zone)
    return changes.offsets[np.searchsorted(changes.at, times, side="right")]


def _near(local: Ints, zone: str) -> _Changes:
    """Return the changes that can matter for these local times."""
    first, last = int(local.min()) - _MARGIN, int(local.max()) + _MARGIN
    at: list[int] = []
    offsets: list[int] = []
    for year in _years(local):
        for instant, offset in _changes_of_year(zone, year):
            if not offsets or offset != offsets[-1]:
                at.append(instant)
                offsets.append(offset)
    times, values = np.array(at, dtype=np.int64), np.array(offsets, dtype=np.int64)
    # The first entry is the offset at the start, not a change; then only what lies within reach is kept.
    start = max(int(np.searchsorted(times, first, side="right")) - 1, 0)
    stop = int(np.searchsorted(times, last, side="right"))
    return _Changes(at=times[start + 1 : stop], offsets=values[start : max(stop, start + 1)])


def _years(local: Ints) -> list[int]:
    """Return the years in which these times lie, and the ones beside them."""
    bounds = np.array([local.min(), local.max()])
    few = _year_of(bounds)
    found = np.arange(few[0], few[1] + 1) if few[1] - few[0] < 3 else np.unique(_year_of(local))
    years = {near for year in found.tolist() for near in (year - 1, year, year + 1)}
    return sorted(year for year in years if _FIRST.year <= year <= _LAST.year)


def _year_of(local: Ints) -> Ints:
    return local.astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970


@lru_cache(maxsize=4096)
def _changes_of_year(zone: str, year: int) -> tuple[tuple[int, int], ...]:
    """
    Return the offsets of *zone* in *year* (UTC): at its start, and where it changes.

    Each is a pair of microseconds since 1970 in UTC and offset in microseconds.  Changes are found by looking
    at every day and then halving the day: no zone has changed twice within one.
    """
    info = zone_rules(zone)
    day = max(datetime(year, 1, 1, tzinfo=UTC), _FIRST)
    offset = _offset(info, day)
    found = [(_microseconds(day - _EPOCH), _microseconds(offset))]
    while day.year == year and day < _LAST:
        next_day = day + timedelta(days=1)
        next_offset = _offset(info, next_day)
        if next_offset != offset:
            change = _change(info, day, next_day)
            found.append((_microseconds(change - _EPOCH), _microseconds(next_offset)))
        day, offset = next_day, next_offset
    return tuple(found)


def _change(info: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """Return the first second at which the offset is that of *after*, not that of *before*."""
    wanted = _offset(info, after)
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if _offset(info, middle) == wanted:
            after = middle
        else:
            before = middle
    return after


def _offset(info: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(info).utcoffset() or timedelta(0)


def _microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


@lru_cache(maxsize=1024)  # all there are: where a zone is disproved each of them is asked
def zone_rules(name: str) -> ZoneInfo:
    """
    Return the rules of a zone, from the tzdata package.

    Raises:
        ValueError: If it has no such zone.
    """
    place = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    if not name or any(part in ("", ".", "..") for part in name.split("/")) or not place.is_file():
        raise ValueError(f"time zone {name!r} is not in the IANA time zone database")
    with place.open("rb") as rules:
        return ZoneInfo.from_file(rules, key=name)


@lru_cache(maxsize=1)
def zone_names() -> tuple[str, ...]:
    """Return the names of all zones of the tzdata package."""
    return tuple(resources.files("tzdata").joinpath("zones").read_text("ascii").split())
