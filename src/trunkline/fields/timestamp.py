"""Timestamps, dates and epochs: columns of text to microseconds in UTC and to days."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from trunkline.fields.clock_reader import Clock, read_clock
from trunkline.fields.numerals import NumeralStyle, read_numerals, sign_of
from trunkline.fields.parsed import Fault, Parsed, fixed_width
from trunkline.fields.text_bytes import Ints, TextBytes
from trunkline.fields.time_formats import ISO_DATES, ISO_TIMESTAMPS
from trunkline.fields.zones import MICROSECONDS, AmbiguousTime, CallWitness, settled, to_universal

TIMESTAMP = pa.timestamp("us", "UTC")
_DAY = 86_400 * MICROSECONDS
_EPOCH_DECIMALS = {"epoch_s": 6, "epoch_ms": 3, "epoch_us": 0}
_FIRST = -62_135_596_800 * MICROSECONDS  # the year 1
_END = 253_402_300_800 * MICROSECONDS - 1  # the last microsecond before the year 10000: where the last partition ends


def parse_timestamps(
    text: TextBytes,
    *,
    formats: Sequence[str] = (),
    zone: str | None,
    ambiguous_time: AmbiguousTime = "reject",
    call_witness: CallWitness | None = None,
) -> Parsed:
    """
    Return timestamps, as timestamp[us, UTC].

    Args:
        text: Values such as ``2022-01-01 10:00:00``.
        formats: strptime formats, the first that fits a value counts; none: ISO 8601 with " " or "T", minutes
            or seconds with up to six decimals, and an offset or none.
        zone: Zone of the values that state no offset; None: they are bad.
        call_witness: Brings the second clocks of the same records, which settle what a time means that the zone had
            twice.
        ambiguous_time: What such a time means where no witness settles it.  A time that the zone never had (the clock
            was set forward over it) is always bad.

    Leap seconds (``:60``) and ``24:00`` are bad: no timestamp can hold them.
    """
    clock = read_clock(text, formats or ISO_TIMESTAMPS)
    faults = [Fault(code="bad_timestamp", rows=clock.bad, expected=f"a real time as in {_example(formats)}")]
    local = clock.days * _DAY + clock.microseconds
    if clock.zoned.all():
        return _timestamps(local - clock.offsets, faults)
    if zone is None:
        faults.append(
            Fault(
                code="bad_timestamp",
                rows=~clock.zoned,
                expected="a time with its offset from UTC, as no time zone is stated",
            )
        )
        return _timestamps(local - clock.offsets, faults)
    times, more = _in_zone(clock, local, zone, ambiguous_time, call_witness)
    return _timestamps(times, [*faults, *more])


def _timestamps(times: Ints, faults: list[Fault]) -> Parsed:
    """Return UTC times as a column; what UTC moves out of the calendar could be stored and not be read back."""
    if len(times) and (times.min() < _FIRST or times.max() >= _END):
        outside = (times < _FIRST) | (times >= _END)
        faults.append(Fault(code="out_of_range", rows=outside, expected="a time in the years 1 to 9999 in UTC"))
    return Parsed(columns=(fixed_width(times, TIMESTAMP),), faults=tuple(faults))


def _in_zone(
    clock: Clock, local: Ints, zone: str, ambiguous_time: AmbiguousTime, call_witness: CallWitness | None
) -> tuple[Ints, list[Fault]]:
    """Return UTC times, and the faults of those that the zone had twice or never."""
    if clock.bad.any():  # what was not read says nothing about the years to look at
        local = np.where(clock.bad, local[np.argmin(clock.bad)], local)
    universal = to_universal(local, zone, ambiguous_time)
    if call_witness is not None and universal.ambiguous.any():
        universal = settled(universal, local, zone, call_witness())
    faults = [
        Fault(
            code="bad_timestamp",
            rows=universal.nonexistent & ~clock.zoned,
            expected=f"a time that clocks in {zone} showed (they were set forward over this one)",
        )
    ]
    if ambiguous_time == "reject":
        faults.append(
            Fault(
                code="bad_timestamp",
                rows=universal.ambiguous & ~clock.zoned,
                expected=f"a time that clocks in {zone} showed once; ambiguous_time = earlier or later decides",
            )
        )
    if clock.zoned.any():
        return np.where(clock.zoned, local - clock.offsets, universal.times), faults
    return universal.times, faults


def _example(formats: Sequence[str]) -> str:
    return " or ".join(formats) if formats else "2022-01-31 23:59:59 or 2022-01-31T23:59:59+00:00"


def parse_epochs(text: TextBytes, *, unit: str) -> Parsed:
    """
    Return seconds, milliseconds or microseconds since 1970 as timestamp[us, UTC].

    Args:
        text: Digits, with "-" before 1970 and as many decimals as a microsecond needs.
        unit: ``epoch_s``, ``epoch_ms`` or ``epoch_us``.
    """
    scale = _EPOCH_DECIMALS[unit]
    negative, digits = sign_of(text)
    found = read_numerals(digits, NumeralStyle(scale=scale, point="." if scale else None))
    times = found.magnitudes.astype(np.int64)
    bad = found.malformed | found.too_many_decimals
    far = found.overflow | (found.magnitudes >= np.uint64(_END))
    faults = [
        Fault(code="bad_timestamp", rows=bad, expected=f"{_UNITS[unit]} since 1970"),
        Fault(code="out_of_range", rows=far, expected=f"{_UNITS[unit]} since 1970 of a year up to 9999"),
    ]
    return _timestamps(np.where(negative, -times, times), faults)


_UNITS = {"epoch_s": "seconds", "epoch_ms": "milliseconds", "epoch_us": "microseconds"}


def parse_dates(text: TextBytes, *, formats: Sequence[str] = ()) -> Parsed:
    """Return dates as date32; *formats* as for timestamps, none: ``2022-01-31``."""
    clock = read_clock(text, formats or ISO_DATES)
    days = clock.days.astype(np.int32)
    expected = f"a real date as in {' or '.join(formats) if formats else '2022-01-31'}"
    return Parsed(
        columns=(fixed_width(days, pa.date32()),),
        faults=(Fault(code="bad_date", rows=clock.bad, expected=expected),),
    )
