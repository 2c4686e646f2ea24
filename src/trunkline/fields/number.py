"""Integers and decimals: columns of text to numbers that say exactly what the text says."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from trunkline.fields.numerals import NumeralStyle, read_numerals, sign_of
from trunkline.fields.parsed import Fault, Parsed, decimals, fixed_width
from trunkline.fields.text_bytes import TextBytes

_LARGEST_INT = np.uint64(2**63 - 1)
_LARGEST_DECIMAL = np.uint64(10**18 - 1)
_ZERO = ord("0")


def parse_integers(text: TextBytes) -> Parsed:
    """
    Return whole numbers as int64.

    Canonical digits only: no "+", no leading zeros (``0700`` is an id or a phone number, not seven hundred),
    no "-0", no blanks, no digits of other scripts.
    """
    negative, digits = sign_of(text)
    found = read_numerals(digits, NumeralStyle())
    leading = digits.at(0) == _ZERO
    zero = digits.lengths == 1
    values = found.magnitudes.view(np.int64)
    if negative.any():
        values = np.where(negative, -values, values)
    return Parsed(
        columns=(fixed_width(values, pa.int64()),),
        faults=(
            Fault(
                code="bad_integer",
                rows=found.malformed | (leading & ~(zero & ~negative)),
                expected="a whole number in digits, without leading zeros",
            ),
            Fault(
                code="out_of_range",
                rows=found.overflow | (found.magnitudes > _LARGEST_INT + negative.astype(np.uint64)),
                expected="a whole number of at most 64 bits",
            ),
        ),
    )


def parse_decimals(text: TextBytes, *, scale: int, point: str = ".", implied: int | None = None) -> Parsed:
    """
    Return decimals as decimal128(18, scale).

    ASCII digits, "-" in front and *point* before the decimals.  More decimals than *scale* are bad, be they
    zeros: nothing is rounded.  With *implied* decimals, which are not written, only digits: ``120`` is 1.20.
    """
    negative, digits = sign_of(text)
    found = read_numerals(digits, NumeralStyle(scale=scale, point=point, implied=implied))
    values = found.magnitudes.view(np.int64)
    if negative.any():
        values = np.where(negative, -values, values)
    return Parsed(
        columns=(decimals(values, scale),),
        faults=(
            Fault(code="bad_decimal", rows=found.malformed, expected=_expected(point, implied)),
            Fault(code="bad_decimal", rows=found.too_many_decimals, expected=f"at most {scale} decimals"),
            Fault(
                code="out_of_range",
                rows=found.overflow | (found.magnitudes > _LARGEST_DECIMAL),
                expected=f"at most {18 - scale} digits before the point",
            ),
        ),
    )


def _expected(point: str, implied: int | None) -> str:
    return f'a number with "{point}" before the decimals' if implied is None else "a number in digits"
