"""Digits in text to whole numbers, for a whole column at once and without rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trunkline.fields.text_bytes import MAX_REACH, Ints, Mask, TextBytes, Words

MINUS = ord("-")
_ZERO = np.uint8(ord("0"))
_POWERS = np.array([10**exponent for exponent in range(19)], dtype=np.uint64)
_LARGEST = np.uint64(2**64 - 1)
_NO_POINT = -1
_SEPARATED_EVERY = 4  # three digits and the character between the groups


@dataclass(frozen=True, kw_only=True, slots=True)
class NumeralStyle:
    """
    How numbers are written.

    Attributes:
        scale: Decimal places of the result.
        point: Character before the decimals, or None where only whole numbers are allowed.
        group: Character between groups of three digits, or None where there is none.
        implied: Decimals that are not written, at most the scale (``120`` is 1.20 where it is 2); None: as written.
    """

    scale: int = 0
    point: str | None = None
    group: str | None = None
    implied: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Numerals:
    """
    What a column of unsigned numbers says.

    Attributes:
        magnitudes: The number in units of the style's scale (1.20 at scale 2 is 120); arbitrary in bad rows.
        malformed: Not a number in this style.
        too_many_decimals: More digits behind the point than the scale holds, be they zeros.
        overflow: A number that needs more than 19 digits.
    """

    magnitudes: Words
    malformed: Mask
    too_many_decimals: Mask
    overflow: Mask


def read_numerals(text: TextBytes, style: NumeralStyle) -> Numerals:
    """Read unsigned numbers: ASCII digits, at least one, and what *style* allows among them."""
    if style.implied is not None:
        return _read_implied(text, style.scale - style.implied)
    found = _to_fill(len(text))
    found.malformed[:] = (text.lengths <= 0) | (text.lengths > MAX_REACH)
    places = _NO_POINT if style.point is None else _decimal_places(text, style.point)
    if isinstance(places, int):
        _read_alike(text, found, places, style)
        return found
    for decimals in np.unique(places):
        rows = np.flatnonzero(places == decimals)
        part = _to_fill(len(rows))
        part.malformed[:] = found.malformed[rows]
        _read_alike(text.take(rows), part, int(decimals), style)
        _put(found, rows, part)
    return found


def _read_implied(text: TextBytes, missing: int) -> Numerals:
    """Read whole numbers that lack their last *missing* decimal places."""
    found = read_numerals(text, NumeralStyle())
    far = found.magnitudes > _LARGEST // _POWERS[missing]
    return Numerals(
        magnitudes=np.where(far, 0, found.magnitudes) * _POWERS[missing],
        malformed=found.malformed,
        too_many_decimals=found.too_many_decimals,
        overflow=found.overflow | far,
    )


def _to_fill(rows: int) -> Numerals:
    """Return zeros without a fault, to be filled in place."""
    return Numerals(
        magnitudes=np.zeros(rows, dtype=np.uint64),
        malformed=np.zeros(rows, dtype=np.bool_),
        too_many_decimals=np.zeros(rows, dtype=np.bool_),
        overflow=np.zeros(rows, dtype=np.bool_),
    )


def _put(whole: Numerals, rows: Ints, part: Numerals) -> None:
    whole.magnitudes[rows] = part.magnitudes
    whole.malformed[rows] = part.malformed
    whole.too_many_decimals[rows] = part.too_many_decimals
    whole.overflow[rows] = part.overflow


def _decimal_places(text: TextBytes, point: str) -> int | Ints:
    """Return how many bytes follow the last point of each value, or _NO_POINT; one number if all are alike."""
    places = np.full(len(text), _NO_POINT, dtype=np.int64)
    for place in range(min(int(text.lengths.max(initial=0)), MAX_REACH)):
        hit = (text.from_end(place) == ord(point)) & (text.lengths > place)
        if hit.all():
            return place
        places[hit & (places == _NO_POINT)] = place
        if (places != _NO_POINT).all():
            break
    return places if (places != _NO_POINT).any() else _NO_POINT


def _read_alike(text: TextBytes, found: Numerals, decimals: int, style: NumeralStyle) -> None:
    """Read values that all have the same number of decimal places, or all no point."""
    whole_from, exponent = decimals + 1, style.scale  # _NO_POINT is -1
    if decimals == 0:
        found.malformed[:] = True  # "12.": cut off, or not a number
    elif decimals > 0:
        found.too_many_decimals[:] = decimals > style.scale
        _add_digits(text, found, first=0, counts=np.full(len(text), decimals), exponent=exponent - decimals)
    counts = text.lengths - whole_from
    if style.group is None:
        _add_digits(text, found, first=whole_from, counts=counts, exponent=exponent)
        return
    grouped = (text.from_end(whole_from + _SEPARATED_EVERY - 1) == ord(style.group)) & (counts >= _SEPARATED_EVERY)
    for group, rows in ((None, np.flatnonzero(~grouped)), (style.group, np.flatnonzero(grouped))):
        if len(rows):
            part = _to_fill(len(rows))
            _add_digits(text.take(rows), part, first=whole_from, counts=counts[rows], exponent=exponent, group=group)
            found.magnitudes[rows] += part.magnitudes
            found.malformed[rows] |= part.malformed
            found.overflow[rows] |= part.overflow


def _add_digits(
    text: TextBytes, found: Numerals, *, first: int, counts: Ints, exponent: int, group: str | None = None
) -> None:
    """
    Add digits to the magnitudes, from right to left.

    Args:
        text: The values.
        found: What is added to.
        first: How many bytes from the right end the last of these digits is.
        counts: How many bytes of each value to read.
        exponent: The power of ten that the last digit counts; negative for digits beyond the scale.
        group: Separator that stands between every three digits, or None.
    """
    shortest, longest = int(counts.min(initial=0)), min(int(counts.max(initial=0)), MAX_REACH - first)
    for place in range(longest):
        byte = text.from_end(first + place)
        active = None if place < shortest else counts > place
        if group is not None and place % _SEPARATED_EVERY == _SEPARATED_EVERY - 1:
            wrong = (byte != ord(group)) | (counts == place + 1)  # ",234" has nothing before its separator
        else:
            digit = byte - _ZERO
            wrong = digit > 9
            if active is not None:
                digit *= active
            _add_digit(found, digit, exponent)
            exponent += 1
        found.malformed[:] |= wrong if active is None else wrong & active


def _add_digit(found: Numerals, digit: np.ndarray[tuple[int], np.dtype[np.uint8]], exponent: int) -> None:
    if 0 <= exponent < len(_POWERS):
        magnitudes = found.magnitudes
        magnitudes += digit.astype(np.uint64) * _POWERS[exponent]
    elif exponent >= len(_POWERS):
        found.overflow[:] |= digit != 0


def sign_of(text: TextBytes) -> tuple[Mask, TextBytes]:
    """Return which values start with "-", and the values without it."""
    negative = (text.at(0) == MINUS) & (text.lengths > 0)
    if not negative.any():
        return negative, text
    return negative, text.trimmed(front=negative.astype(np.int64))
