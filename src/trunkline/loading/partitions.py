"""Which partition of a call table a time falls into.  No I/O."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Days = npt.NDArray[np.datetime64]

_EPOCH_IS_A_THURSDAY = 3  # days from Monday to 1970-01-01


def partition_starts(event_time: pa.Array, width: str) -> Days:
    """
    Return the first day of the partition that each time falls into.

    Args:
        event_time: timestamp[us, UTC], length n, no nulls.
        width: ``day``, ``week`` (from Monday, ISO 8601) or ``month``, all in UTC.

    Returns:
        datetime64[D] of length n.
    """
    days: Days = np.asarray(event_time.cast(pa.int64())).view("datetime64[us]").astype("datetime64[D]")
    if width == "day":
        return days
    if width == "week":
        since_monday = (days.astype(np.int64) + _EPOCH_IS_A_THURSDAY) % 7
        mondays: Days = days - since_monday.astype("timedelta64[D]")
        return mondays
    months: Days = days.astype("datetime64[M]").astype("datetime64[D]")
    return months


def partition_bounds(start: date, width: str) -> tuple[datetime, datetime]:
    """
    Return the bounds in UTC, the upper one exclusive, of the partition that begins on *start*.

    The last partition of all ends with the calendar: 9999 is what some systems write for "never".
    """
    try:
        if width == "day":
            end = start + timedelta(days=1)
        elif width == "week":
            end = start + timedelta(days=7)
        else:
            end = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
    except OverflowError:
        return _midnight(start), datetime.max.replace(tzinfo=UTC)
    return _midnight(start), _midnight(end)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
