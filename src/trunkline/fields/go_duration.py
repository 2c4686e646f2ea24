"""Durations as programs in Go write them (``1m5s``): columns of text to seconds, each distinct value read once."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final, Literal

import numpy as np
import pyarrow as pa

from trunkline.fields.parsed import Fault, Parsed, decimals, fixed_width

# Source: Go's time.ParseDuration, whose units these are; micro is written with either of two letters.
_SECONDS: Final = {
    "h": Fraction(3_600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 10**3),
    **dict.fromkeys(("us", "\u00b5s", "\u03bcs"), Fraction(1, 10**6)),
    "ns": Fraction(1, 10**9),
}
_PART: Final = r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(h|ms|m|s|us|\u00b5s|\u03bcs|ns)"
_WHOLE: Final = re.compile(f"(-?)((?:{_PART})+|0)")
_BARE: Final = re.compile("-?[0-9]{1,18}")
_LEAST_BARE_NS: Final = 10**6  # what is less, but is not 0, may be seconds of an old version
_LONGEST_S: Final = 2**31 - 1  # PostgreSQL integer, as for the other units

_Problem = Literal["bad", "negative", "inexact", "too_long"]


def parse_go_durations(text: pa.StringArray, *, scale: int = 0, bare_ns: bool = False) -> Parsed:
    """
    Return durations in seconds: int32, or decimal128(18, scale) with a *scale*.

    Args:
        text: Values such as ``1h2m3.5s``, ``250ms`` or ``0``.
        scale: Decimal places of a second.  A duration that needs more is bad, never rounded.
        bare_ns: Whether a number without a unit is nanoseconds, as Go has them, from a millisecond on.  Below that,
            and without it, such a number is bad: people mean seconds.
    """
    coded = text.dictionary_encode()
    read = [_units(_with_unit(word) if bare_ns else word, scale) for word in coded.dictionary.to_pylist()]
    rows = coded.indices.fill_null(0).to_numpy() if len(read) else np.zeros(len(text), dtype=np.int64)
    numbers = np.array([each if isinstance(each, int) else 0 for each in read] or [0], dtype=np.int64)[rows]

    def fault(problem: _Problem, code: str, expected: str) -> Fault:
        found = np.array([each == problem for each in read] or [False], dtype=np.bool_)
        return Fault(code=code, rows=found[rows], expected=expected)

    precision = f"seconds with up to {scale} decimals" if scale else "whole seconds (the field has no scale)"
    return Parsed(
        columns=(decimals(numbers, scale) if scale else fixed_width(numbers.astype(np.int32), pa.int32()),),
        faults=(
            fault("bad", "bad_duration", "hours, minutes and seconds with their units, such as 1h2m3s"),
            fault("negative", "bad_duration", "a duration that is not negative"),
            fault("inexact", "bad_duration", precision),
            fault("too_long", "out_of_range", "a duration below 68 years"),
        ),
    )


def _with_unit(word: str | None) -> str | None:
    if word is None or not _BARE.fullmatch(word) or abs(int(word)) < _LEAST_BARE_NS:
        return word
    whole, rest = divmod(abs(int(word)), 10**9)  # the pattern takes no more digits than these
    return f"{'-' if word[0] == '-' else ''}{whole}s{rest}ns"


def _units(word: str | None, scale: int) -> int | _Problem:
    """Return a duration in units of 10 ** -scale seconds, or what is wrong with it."""
    found = _WHOLE.fullmatch(word or "")
    if found is None:
        return "bad"
    seconds = sum((Fraction(number) * _SECONDS[unit] for number, unit in re.findall(_PART, found[2])), Fraction(0))
    if found[1] and seconds:
        return "negative"
    if seconds > _LONGEST_S:
        return "too_long"
    units = seconds * 10**scale
    return int(units) if units.denominator == 1 else "inexact"
