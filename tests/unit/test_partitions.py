"""Which partition a time falls into, and where it begins and ends."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.loading.partitions import partition_bounds, partition_starts

WIDTHS = ("day", "week", "month")


def start_of(moment: datetime, width: str) -> date:
    got = partition_starts(pa.array([moment], pa.timestamp("us", "UTC")), width)
    assert got.dtype == np.dtype("datetime64[D]")
    found = got[0].item()
    assert isinstance(found, date)
    return found


@pytest.mark.parametrize(
    ("width", "start"),
    [
        ("day", date(2022, 1, 5)),
        ("week", date(2022, 1, 3)),  # 5 January 2022 is a Wednesday: 5 - 2
        ("month", date(2022, 1, 1)),
    ],
)
def test_a_time_falls_into_the_partition_that_holds_its_utc_day(width, start):
    """Partitions begin at midnight UTC, weeks on Monday, months on the first."""
    assert start_of(datetime(2022, 1, 5, 23, 59, 59, 999_999, UTC), width) == start


@pytest.mark.parametrize(
    ("width", "end"), [("day", date(2024, 2, 29)), ("week", date(2024, 3, 6)), ("month", date(2024, 3, 1))]
)
def test_a_partition_ends_where_the_next_begins(width, end):
    """The upper bound is exclusive: the midnight after the last day."""
    start = date(2024, 2, 1) if width == "month" else date(2024, 2, 28)

    assert partition_bounds(start, width)[1].date() == end


@pytest.mark.parametrize("width", WIDTHS)
def test_the_last_partition_ends_with_the_calendar(width):
    """9999-12-31, as some systems write for never, has a partition, though what follows it has no date."""
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    lower, upper = partition_bounds(start_of(last, width), width)

    assert lower <= last < upper


def test_times_before_1970_fall_into_the_partition_before_and_not_after():
    """Negative times round down."""
    assert start_of(datetime(1969, 12, 31, 23, 0, tzinfo=UTC), "day") == date(1969, 12, 31)


@given(
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)),  # noqa: DTZ001 - made UTC below
    st.sampled_from(WIDTHS),
)
def test_every_time_is_within_the_bounds_of_its_partition(naive, width):
    """Lower bound <= time < upper bound, and the next partition begins at the upper bound."""
    moment = naive.replace(tzinfo=UTC)
    start = start_of(moment, width)
    lower, upper = partition_bounds(start, width)

    assert lower <= moment < upper
    assert start_of(upper, width) == upper.date()
    assert start_of(lower, width) == start_of(upper - timedelta(microseconds=1), width) == start
