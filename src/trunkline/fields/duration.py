"""How long something took: columns of text to seconds, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trunkline.fields.numerals import NumeralStyle, read_numerals, sign_of
from trunkline.fields.parsed import Fault, Parsed, decimals, fixed_width
from trunkline.fields.text_bytes import Ints, Mask, TextBytes, Words, text_bytes

SECONDS: Final = {
    "s": Fraction(1),
    "ms": Fraction(1, 1_000),
    "us": Fraction(1, 1_000_000),
    "min": Fraction(60),
    "h": Fraction(3_600),
    "6s": Fraction(6),  # carriers that bill by six seconds
    "0.1min": Fraction(6),  # Avaya Communication Manager: tenths of a minute
}
_DECIMALS: Final = 6  # as written, before the unit
_LONGEST_S: Final = 2**31 - 1  # PostgreSQL integer; 68 years
_LARGEST_MAGNITUDE: Final = 10**19 - 1  # what numerals can say
_CLOCK: Final = "hours:minutes:seconds such as 0:05:30, minutes and seconds below 60"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Lengths:
    """Durations in units of 10 ** -scale seconds, and what cannot be used."""

    units: Words
    bad: Mask
    inexact: Mask
    too_long: Mask
    negative: Mask


def parse_durations(text: TextBytes, *, unit: str, scale: int = 0, implied: int | None = None) -> Parsed:
    """
    Return durations in seconds: int32, or decimal128(18, scale) with a *scale*.

    Args:
        text: Values such as ``00:05:30`` (unit ``hms``) or ``330`` (unit ``s``).
        unit: A key of SECONDS, for numbers with up to six decimals; or ``hms`` for hours:minutes:seconds, where
            minutes and seconds have two digits below 60, hours at least one, and seconds maybe decimals.
        scale: Decimal places of a second.  A duration that needs more is bad, never rounded.
        implied: Decimals of a number that are not written (``65`` is 6.5 where it is 1), or None.

    A negative duration is bad.
    """
    negative, unsigned = sign_of(text)
    if unit == "hms":
        lengths = _clock_lengths(unsigned, negative, scale)
    else:
        lengths = _number_lengths(unsigned, negative, SECONDS[unit], scale, implied)
    expected = _CLOCK if unit == "hms" else f"a number (unit {unit})"
    return Parsed(
        columns=(_column(lengths.units.astype(np.int64), scale),),
        faults=(
            Fault(code="bad_duration", rows=lengths.bad, expected=expected),
            Fault(code="bad_duration", rows=lengths.negative, expected="a duration that is not negative"),
            Fault(code="bad_duration", rows=lengths.inexact, expected=_precision(scale)),
            Fault(code="out_of_range", rows=lengths.too_long, expected="a duration below 68 years"),
        ),
    )


def _precision(scale: int) -> str:
    return f"seconds with up to {scale} decimals" if scale else "whole seconds (the field has no scale)"


def _column(units: Ints, scale: int) -> pa.Array:
    return decimals(units, scale) if scale else fixed_width(units.astype(np.int32), pa.int32())


def parse_durations_by_unit(
    text: pa.StringArray, said: pa.StringArray, units: Mapping[str, str], *, scale: int, implied: int | None
) -> Parsed:
    """
    Return durations in seconds, as `parse_durations` does, where each record states its unit.

    Args:
        text: Numbers.
        said: What each record says about its unit.
        units: What these words mean, as keys of SECONDS.  A word that is not among them makes its record bad.
    """
    meant = pc.index_in(said, pa.array(list(units), pa.string())).fill_null(-1).to_numpy(zero_copy_only=False)
    known = list(units.values())
    groups = [(known[each] if each >= 0 else "s", np.flatnonzero(meant == each)) for each in np.unique(meant)]
    parts = [
        parse_durations(text_bytes(text.take(pa.array(rows))), unit=unit, scale=scale, implied=implied)
        for unit, rows in groups
    ]
    unknown = Fault(code="bad_duration", rows=meant < 0, expected=f"a unit of {', '.join(units)}")
    faults = [
        _spread(fault, rows, len(text)) for (_, rows), part in zip(groups, parts, strict=True) for fault in part.faults
    ]
    if not parts:
        return Parsed(columns=(_column(np.zeros(0, dtype=np.int64), scale),))
    order = np.argsort(np.concatenate([rows for _, rows in groups]), kind="stable")
    column = pa.concat_arrays([part.columns[0] for part in parts]).take(pa.array(order))
    return Parsed(columns=(column,), faults=(unknown, *faults))


def span_between(first: pa.Array, second: pa.Array, *, scale: int) -> Parsed:
    """
    Return how long it was from one moment to another, in seconds: int32, or decimal128(18, scale) with a *scale*.

    Args:
        first, second: timestamp[us, UTC]; where one of them is null, so is the result.
        scale: Decimal places of a second.  A span that needs more is bad, never rounded.
    """
    there = pc.and_(first.is_valid(), second.is_valid())
    span = pc.subtract(pc.cast(second, pa.int64()), pc.cast(first, pa.int64())).fill_null(0).to_numpy()
    units, rest = np.divmod(span, 10 ** (_DECIMALS - scale))
    too_long = span > _LONGEST_S * 10**_DECIMALS
    column = _column(np.where(too_long | (units < 0), 0, units), scale)
    return Parsed(
        columns=(pc.if_else(there, column, pa.scalar(None, column.type)),),
        faults=(
            Fault(code="bad_duration", rows=span < 0, expected="a time that is not before the one it is counted from"),
            Fault(code="bad_duration", rows=rest != 0, expected=_precision(scale)),
            Fault(code="out_of_range", rows=too_long, expected="a duration below 68 years"),
        ),
    )


def _spread(fault: Fault, rows: Ints, count: int) -> Fault:
    """Return a fault of some *rows* as one of all *count*."""
    whole = np.zeros(count, dtype=np.bool_)
    whole[rows] = fault.rows
    return Fault(code=fault.code, rows=whole, expected=fault.expected)


def _number_lengths(text: TextBytes, negative: Mask, size: Fraction, scale: int, implied: int | None) -> _Lengths:
    found = read_numerals(text, NumeralStyle(scale=_DECIMALS, point=".", implied=implied))
    ratio = size * 10**scale / 10**_DECIMALS  # a magnitude is in millionths of the unit
    longest = min(int(Fraction(_LONGEST_S * 10**scale) / ratio), _LARGEST_MAGNITUDE)
    too_long = found.overflow | (found.magnitudes > np.uint64(longest))
    magnitudes = np.where(too_long, 0, found.magnitudes)
    units, rest = np.divmod(magnitudes * np.uint64(ratio.numerator), np.uint64(ratio.denominator))
    return _Lengths(
        units=units,
        bad=found.malformed | found.too_many_decimals,
        inexact=rest != 0,
        too_long=too_long,
        negative=negative,
    )


def _clock_lengths(text: TextBytes, negative: Mask, scale: int) -> _Lengths:
    """Read H:MM:SS, with decimals behind the seconds or without."""
    whole, fraction = _split_fraction(text)
    bad = whole.lengths < len("0:00:00")
    minutes, seconds = _sexagesimal(whole, 3, bad), _sexagesimal(whole, 0, bad)
    for place in (2, 5):
        bad |= whole.from_end(place) != ord(":")
    hours = read_numerals(whole.trimmed(back=6), NumeralStyle())
    too_long = hours.overflow | (hours.magnitudes > np.uint64(_LONGEST_S // 3_600))
    units = np.where(too_long, 0, hours.magnitudes) * np.uint64(3_600)
    units += minutes.astype(np.uint64) * np.uint64(60)
    units += seconds
    too_long |= units > np.uint64(_LONGEST_S)
    inexact = np.zeros(len(text), dtype=np.bool_)
    if scale:
        units *= np.uint64(10**scale)
    if fraction is not None:
        units += _fraction_units(fraction, scale, bad, inexact)
    return _Lengths(units=units, bad=bad | hours.malformed, inexact=inexact, too_long=too_long, negative=negative)


def _split_fraction(text: TextBytes) -> tuple[TextBytes, TextBytes | None]:
    """Return values without their decimals, and (where any has some) the decimals with their point."""
    behind = np.zeros(len(text), dtype=np.int64)
    if not (text.data == ord(".")).any():  # cheap, and true of most columns
        return text, None
    for place in range(1, 10):
        behind[(text.from_end(place) == ord(".")) & (text.lengths > place)] = place + 1
    return text.trimmed(back=behind), text.trimmed(front=text.lengths - behind)


def _sexagesimal(text: TextBytes, place: int, bad: Mask) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Return the two digits that end *place* bytes before the end, and mark what is not below 60."""
    zero = np.uint8(ord("0"))
    ones, tens = text.from_end(place) - zero, text.from_end(place + 1) - zero
    bad |= (ones > 9) | (tens > 5)
    return tens * np.uint8(10) + ones


def _fraction_units(fraction: TextBytes, scale: int, bad: Mask, inexact: Mask) -> Words:
    found = read_numerals(fraction, NumeralStyle(scale=scale, point="."))
    some = fraction.lengths > 0
    bad |= some & found.malformed
    inexact |= some & found.too_many_decimals
    return np.where(some, found.magnitudes, 0)
