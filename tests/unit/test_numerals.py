"""Digits to numbers: exactly what Python's own decimals say, or bad."""

from __future__ import annotations

import re
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.fields.numerals import NumeralStyle, read_numerals, sign_of
from trunkline.fields.text_bytes import text_bytes

STYLES = (
    NumeralStyle(),
    NumeralStyle(scale=6, point="."),
    NumeralStyle(scale=2, point=",", group="."),
    NumeralStyle(scale=4, point=".", group=","),
    NumeralStyle(scale=0, point="."),
)


def reference(text: str, style: NumeralStyle) -> tuple[str, int | None]:
    """Return what one number is: malformed, too many decimals, overflow or ok, and its magnitude."""
    whole = rf"[0-9]{{1,3}}(?:{re.escape(style.group)}[0-9]{{3}})+|[0-9]*" if style.group else "[0-9]*"
    decimals = rf"(?:{re.escape(style.point)}(?P<decimals>[0-9]+))?" if style.point else "(?P<decimals>)"
    found = re.fullmatch(rf"(?P<whole>{whole}){decimals}", text)
    if found is None or not text or len(text.encode()) > 56:
        return "malformed", None
    behind = found["decimals"] or ""
    if len(behind) > style.scale:
        return "too many decimals", None
    number = Decimal(f"0{found['whole'].replace(style.group or '_', '')}.{behind}0")
    magnitude = int(number.scaleb(style.scale))
    return ("overflow", None) if magnitude >= 10**19 else ("ok", magnitude)


def read(texts: list[str], style: NumeralStyle) -> list[tuple[str, int | None]]:
    """Return the same of a column."""
    found = read_numerals(text_bytes(pa.array(texts, pa.string())), style)
    told = zip(found.malformed, found.too_many_decimals, found.overflow, found.magnitudes.tolist(), strict=True)
    return [
        ("malformed", None) if malformed
        else ("too many decimals", None) if many
        else ("overflow", None) if overflow
        else ("ok", magnitude)
        for malformed, many, overflow, magnitude in told
    ]  # fmt: skip


NUMBERS = st.builds(
    lambda whole, behind, group, point: f"{whole:,}".replace(",", group) + (f"{point}{behind}" if behind else ""),
    st.integers(0, 10**21),
    st.text("0123456789", max_size=8),
    st.sampled_from(["", ",", "."]),
    st.sampled_from([".", ","]),
)
TEXTS = NUMBERS | st.text("0019.,-+ e_x٣", max_size=12) | st.text("0123456789", max_size=60)


@pytest.mark.parametrize("style", STYLES, ids=repr)
@given(texts=st.lists(TEXTS, max_size=20))
def test_a_column_is_read_as_each_number_alone(style, texts):
    """Whatever stands beside it, a number is what exact decimal arithmetic says, or bad for the same reason."""
    assert [reference(text, style) for text in texts] == read(texts, style)


def test_a_slice_of_a_column_is_read_from_its_own_start():
    """Values before and behind a slice have no part in it."""
    column = pa.array(["12", "345", None, "6", "789"])
    found = read_numerals(text_bytes(column[1:4]), NumeralStyle())

    assert found.magnitudes.tolist() == [345, 0, 6]
    assert found.malformed.tolist() == [False, True, False]


def test_the_sign_is_taken_off():
    """Only "-" in front is a sign."""
    negative, rest = sign_of(text_bytes(pa.array(["-5", "5", "", "+5"])))

    assert negative.tolist() == [True, False, False, False]
    assert rest.lengths.tolist() == [1, 1, 0, 2]
