"""Text columns to dates and clock times by the steps of a format, for a whole column at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from trunkline.fields.text_bytes import Bytes, Ints, Mask, TextBytes
from trunkline.fields.time_formats import (
    Fraction,
    Literally,
    Name,
    Number,
    Offset,
    Padding,
    Part,
    Step,
    may_fit_alike,
    steps_of,
)
from trunkline.fields.zones import MICROSECONDS

_ZERO = np.uint8(ord("0"))
_LOWER = np.uint8(0x20)  # the bit that makes an ASCII letter small
_SAMPLE_ROWS = 32
_MICRO_DIGITS = 6  # behind the point of a second
_LONGEST = 64  # bytes; no format is longer, and what is need not be told apart

Small = npt.NDArray[Any]  # small integers of one type or another


@dataclass(frozen=True, kw_only=True, eq=False)
class Clock:
    """
    Times as a column of text states them.

    Attributes:
        days: Days since 1970-01-01.
        microseconds: Since midnight.
        offsets: Microseconds that the time is ahead of UTC; what counts only where *zoned*.
        zoned: Which values state an offset.
        bad: Which values do not have the format, or are no real date or time.
    """

    days: Ints
    microseconds: Ints
    offsets: Ints
    zoned: Mask
    bad: Mask


def read_clock(text: TextBytes, formats: Sequence[str]) -> Clock:
    """
    Read every value in the first of *formats* that fits it.

    Raises:
        ValueError: If a format has a directive that is not known.
    """
    return _read_by_width(text, formats) if text.width is None and len(text) else _read_in_turn(text, formats)


def _read_in_turn(text: TextBytes, formats: Sequence[str]) -> Clock:
    """Read every value in the most likely format, then what is left in the next ones."""
    first, *others = _likely_first(text, formats)
    clock = _read(text, steps_of(first))
    for other in others:
        rows = np.flatnonzero(clock.bad)
        if not len(rows):
            break
        _put(clock, rows, _read(text.take(rows), steps_of(other)))
    return clock


def _read_by_width(text: TextBytes, formats: Sequence[str]) -> Clock:
    """Read values of the most frequent length apart from the others: places are then the same in all of them."""
    common = int(np.bincount(np.minimum(text.lengths, _LONGEST)).argmax())
    alike = text.lengths == common
    clock = _to_fill(len(text))
    for rows in (np.flatnonzero(alike), np.flatnonzero(~alike)):
        part = text.take(rows)
        _put(clock, rows, _read_in_turn(part, formats))
    return clock


def _likely_first(text: TextBytes, formats: Sequence[str]) -> list[str]:
    """
    Order the formats by how many of the first values they fit: most columns have one.  Where a value may fit two,
    the order that was given decides.
    """
    if len(formats) == 1 or may_fit_alike(formats):
        return list(formats)
    sample = text.take(np.arange(min(len(text), _SAMPLE_ROWS)))
    return sorted(formats, key=lambda one: int(_read(sample, steps_of(one)).bad.sum()))


def _to_fill(rows: int) -> Clock:
    """Return times to be filled in place."""
    return Clock(
        days=np.zeros(rows, dtype=np.int64),
        microseconds=np.zeros(rows, dtype=np.int64),
        offsets=np.zeros(rows, dtype=np.int64),
        zoned=np.zeros(rows, dtype=np.bool_),
        bad=np.zeros(rows, dtype=np.bool_),
    )


def _put(whole: Clock, rows: Ints, part: Clock) -> None:
    whole.days[rows] = part.days
    whole.microseconds[rows] = part.microseconds
    whole.offsets[rows] = part.offsets
    whole.zoned[rows] = part.zoned
    whole.bad[rows] = part.bad


def _read(text: TextBytes, steps: tuple[Step, ...]) -> Clock:
    reader = _Reader(text=text, bad=np.zeros(len(text), dtype=np.bool_))
    for step in steps:
        match step:
            case Literally(data=data):
                reader.literally(data)
            case Number(part=part, least=least, most=most):
                reader.parts[part] = reader.number(least, most)
            case Padding():
                reader.padding()
            case Name(part=part, names=names):
                reader.parts[part] = reader.name(names) + (part == "month")  # months count from 1
            case Fraction(most=most):
                reader.fraction(most)
            case Offset():
                reader.offset()
    reader.end()
    days = _days(reader.parts, reader.bad)
    return Clock(
        days=days,
        microseconds=_microseconds(reader.parts, reader.micros, reader.bad),
        offsets=reader.offsets if reader.offsets is not None else np.zeros(len(text), dtype=np.int64),
        zoned=np.full(len(text), reader.offsets is not None),
        bad=reader.bad,
    )


@dataclass(kw_only=True, eq=False)
class _Reader:
    """
    A place in every value, which moves on with every step.

    Attributes:
        place: Where the next byte is read, one number for as long as all values agree.
        bad: Values that did not have what a step asked for.
    """

    text: TextBytes
    bad: Mask
    place: int | Ints = 0
    parts: dict[Part, Small] = field(default_factory=dict)
    micros: Small | None = None
    offsets: Ints | None = None

    def byte(self, ahead: int = 0) -> Bytes:
        """Return the byte *ahead* of the place, 0 past the end of a value."""
        place = self.place + ahead
        if isinstance(place, int) and self.text.width is not None:
            return self.text.at(place) if place < self.text.width else np.zeros(len(self.text), np.uint8)
        return self.text.at(np.minimum(place, self.text.lengths)) * (place < self.text.lengths)

    def digit(self, ahead: int = 0) -> Bytes:
        """Return the digit *ahead* of the place; where there is none, something over 9."""
        return self.byte(ahead) - _ZERO

    def literally(self, data: bytes) -> None:
        for ahead, wanted in enumerate(data):
            self.bad |= self.byte(ahead) != wanted
        self.place = self.place + len(data)

    def number(self, least: int, most: int) -> Small:
        kind: Any = np.uint8 if most <= 2 else np.int32
        value: Small = np.zeros(len(self.text), dtype=kind)
        for ahead in range(least):
            digit = self.digit(ahead)
            self.bad |= digit > 9
            value = value * kind(10) + digit
        self.place = self.place + least
        for _ in range(most - least):
            digit = self.digit()
            more = digit <= 9
            value = np.where(more, value * kind(10) + digit, value)
            self._move(more)
        return value

    def padding(self) -> None:
        self._move((self.byte() == ord(" ")) & (self.digit(2) > 9))

    def name(self, names: tuple[str, ...]) -> Small:
        value = np.zeros(len(self.text), dtype=np.uint8)
        length = np.zeros(len(self.text), dtype=np.int64)
        for number, name in enumerate(names):
            here = np.ones(len(self.text), dtype=np.bool_)
            for ahead, wanted in enumerate(name.lower().encode()):
                here &= (self.byte(ahead) | _LOWER) == wanted
            value[here] = number
            length[here] = len(name)
        self.bad |= length == 0
        self.place = self.place + (len(names[0]) if len({len(name) for name in names}) == 1 else length)
        return value

    def fraction(self, most: int) -> None:
        value: Small = np.zeros(len(self.text), dtype=np.int32)
        more = np.ones(len(self.text), dtype=np.bool_)
        for count in range(most):
            digit = self.digit()
            more &= digit <= 9
            if count < _MICRO_DIGITS:
                value = value * np.int32(10) + np.where(more, digit, 0)
            if count == 0:
                self.bad |= ~more
            self._move(more)
        self.micros = value

    def offset(self) -> None:
        sign = self.byte()
        universal = sign == ord("Z")
        self.bad |= ~universal & (sign != ord("+")) & (sign != ord("-"))
        colon = self.byte(3) == ord(":")
        hours_only = self.text.lengths - self.place == 3
        hours = self._two_digits(1, skip=universal)
        minutes = np.where(
            colon,
            self._two_digits(4, skip=universal | ~colon),
            self._two_digits(3, skip=universal | colon | hours_only),
        )
        self.bad |= (hours > 15) | (minutes > 59)  # no zone has been 16 hours away from UTC
        span = (hours.astype(np.int64) * 60 + minutes) * (60 * MICROSECONDS)
        self.offsets = np.where(sign == ord("-"), -span, span)
        length = np.select([universal, hours_only, colon], [1, 3, 6], 5)
        self.place = self.place + (int(length[0]) if (length == length[:1]).all() and len(length) else length)

    def end(self) -> None:
        """Nothing may be left of a value."""
        self.bad |= self.text.lengths != self.place

    def _two_digits(self, ahead: int, *, skip: Mask) -> Small:
        """Return the number at that place, 0 for those to *skip*."""
        tens, ones = self.digit(ahead), self.digit(ahead + 1)
        self.bad |= ~skip & ((tens > 9) | (ones > 9))
        return np.where(skip, 0, tens * 10 + ones)

    def _move(self, some: Mask) -> None:
        """Move on by one byte in *some* of the values."""
        if some.all():
            self.place = self.place + 1
        elif some.any():
            self.place = self.place + some.astype(np.int64)


def _days(parts: dict[Part, Small], bad: Mask) -> Ints:
    """Return the days since 1970 of year, month and day; marks what is no real date."""
    if "short_year" in parts:
        short = parts["short_year"].astype(np.int32)
        year: Small = short + np.where(short < 69, 2000, 1900)  # POSIX: 69 to 99 is the last century
    else:
        year = parts["year"]
    return _real_days(year, parts["month"], parts["day"], bad)


def _real_days(year: Small, month: Small, day: Small, bad: Mask) -> Ints:
    bad |= (year < 1) | (month < 1) | (month > 12) | (day < 1)
    months = (year - 1970) * np.int32(12) + (month.astype(np.int32) - 1)
    if bad.any():
        months = np.where(bad, 0, months)
    first, last = int(months.min(initial=0)), int(months.max(initial=0))
    starts = np.arange(first, last + 2).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    place = months - first
    bad |= day > np.diff(starts).astype(np.uint8)[place]
    days: Ints = starts[place] + (day.astype(np.int64) - 1)
    return days


def _microseconds(parts: dict[Part, Small], micros: Small | None, bad: Mask) -> Ints:
    """Return the microseconds since midnight; marks what no clock shows."""
    seconds = np.zeros(len(bad), dtype=np.int32)
    hands = ((_hour(parts, bad), 23, 3600), (parts.get("minute"), 59, 60), (parts.get("second"), 59, 1))
    for value, limit, size in hands:
        if value is not None:
            bad |= value > limit
            seconds += value * np.int32(size)
    total = seconds * np.int64(MICROSECONDS)
    if micros is not None:
        total += micros
    return total


def _hour(parts: dict[Part, Small], bad: Mask) -> Small | None:
    if "hour12" not in parts:
        return parts.get("hour")
    hour = parts["hour12"]
    bad |= (hour < 1) | (hour > 12)
    afternoon = parts.get("pm", np.zeros(len(bad), dtype=np.uint8))
    full: Small = hour % 12 + 12 * afternoon
    return full
