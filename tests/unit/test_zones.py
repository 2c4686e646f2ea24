"""Local times to UTC, compared with Python's own zones time by time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.fields.zones import to_universal, zone_rules

ZONES = [
    "Africa/Nairobi",
    "America/New_York",
    "Europe/London",
    "Europe/Dublin",  # winter time is the exception there
    "Australia/Lord_Howe",  # half an hour of daylight saving
    "Africa/Casablanca",  # back and forth around Ramadan
    "Pacific/Apia",  # skipped the 30th of December 2011
    "America/Caracas",  # moved by half an hour
    "Asia/Kathmandu",
    "UTC",
]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(local: datetime) -> int:
    """Return a naive time as microseconds since 1970 on its own clock."""
    return (local.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def reference(local: datetime, zone: str) -> tuple[int, int, bool, bool]:
    """Return the earlier and the later reading in UTC, and whether the time was there twice or never."""
    folds = [local.replace(tzinfo=zone_rules(zone), fold=fold) for fold in (0, 1)]
    offsets = [time.utcoffset() or timedelta() for time in folds]
    readings = [microseconds(local) - offset // timedelta(microseconds=1) for offset in offsets]
    return readings[0], readings[1], offsets[0] > offsets[1], offsets[0] < offsets[1]


def converted(times: list[datetime], zone: str) -> list[tuple[int, int, bool, bool]]:
    """Return the same of all times at once."""
    local = np.array([microseconds(time) for time in times], dtype=np.int64)
    early, late = to_universal(local, zone, "earlier"), to_universal(local, zone, "later")
    assert early.ambiguous.tolist() == late.ambiguous.tolist()
    return list(
        zip(
            early.times.tolist(),
            late.times.tolist(),
            early.ambiguous.tolist(),
            early.nonexistent.tolist(),
            strict=True,
        )
    )


@pytest.mark.parametrize("zone", ZONES)
@given(times=st.lists(st.datetimes(datetime(1890, 1, 1), datetime(2120, 1, 1)), min_size=1, max_size=20))  # noqa: DTZ001
def test_times_are_those_of_python(zone, times):
    """Every time of a column is read as Python's zoneinfo reads it alone."""
    assert [reference(time, zone) for time in times] == converted(times, zone)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("year", [2011, 2040])
def test_a_whole_year(zone, year):
    """No change of the clock in a year is missed, on either side of it."""
    start = datetime(year, 1, 1)  # noqa: DTZ001
    times = [start + timedelta(minutes=45 * step) for step in range(365 * 32)]

    assert [reference(time, zone) for time in times] == converted(times, zone)


@pytest.mark.parametrize("year", [1, 2, 9998, 9999])
def test_the_first_and_the_last_years(year):
    """Times at the ends of the calendar are converted as well."""
    times = [datetime(year, 1, 10), datetime(year, 7, 1), datetime(year, 12, 20)]  # noqa: DTZ001

    assert [reference(time, "Europe/London") for time in times] == converted(times, "Europe/London")


def test_one_time_far_away_changes_no_other():
    """A wrong year in one record does not move its neighbours."""
    times = [datetime(2022, 7, 1), datetime(9021, 7, 1), datetime(1022, 7, 1)]  # noqa: DTZ001

    assert [reference(time, "Europe/London") for time in times] == converted(times, "Europe/London")


def test_an_unknown_zone_is_named():
    """A zone that tzdata does not have is an error and not UTC."""
    with pytest.raises(ValueError, match="time zone 'Africa/Nowhere' is not in the IANA time zone database"):
        to_universal(np.zeros(1, dtype=np.int64), "Africa/Nowhere", "reject")
