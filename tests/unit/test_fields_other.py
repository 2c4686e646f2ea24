"""Numbers, choices, booleans and addresses."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.fields.number import parse_decimals, parse_integers
from trunkline.fields.parsed import Parsed
from trunkline.fields.text import (
    not_allowed,
    not_matching,
    parse_addresses,
    parse_booleans,
    parse_mapped,
)
from trunkline.fields.text_bytes import text_bytes


def told(parsed: Parsed, column: int = 0) -> list[Any]:
    """Return each value of a column, or the code of its first fault."""
    return [
        next((fault.code for fault in parsed.faults if fault.rows[row]), value)
        for row, value in enumerate(parsed.columns[column].to_pylist())
    ]


def integers(texts: list[str]) -> list[Any]:
    """Parse integers."""
    return told(parse_integers(text_bytes(pa.array(texts, pa.string()))))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_integers_are_read_back(numbers):
    """All of 64 bits."""
    assert integers([str(number) for number in numbers]) == numbers


@given(st.lists(st.text("0123456789+-_ .٣x", max_size=22), max_size=20))
def test_only_canonical_digits_are_an_integer(texts):
    """What is accepted is written exactly as Python writes it."""
    for text, value in zip(texts, integers(texts), strict=True):
        if isinstance(value, int):
            assert str(value) == text
        elif value == "out_of_range":
            assert str(int(text)) == text
            assert not -(2**63) <= int(text) < 2**63
        else:
            assert value == "bad_integer"


@pytest.mark.parametrize(
    ("text", "scale", "expected"),
    [
        ("1.5", 6, Decimal("1.5")),
        ("-0.5", 6, Decimal("-0.5")),
        ("007", 6, Decimal(7)),
        (".5", 6, Decimal("0.5")),
        ("1.2345678", 6, "bad_decimal"),
        ("1", 0, Decimal(1)),
        ("1.0", 0, "bad_decimal"),
        ("1,5", 6, "bad_decimal"),
        ("+1", 6, "bad_decimal"),
        ("1e5", 6, "bad_decimal"),
        ("NaN", 6, "bad_decimal"),
        ("", 6, "bad_decimal"),
        ("-", 6, "bad_decimal"),
        ("--1", 6, "bad_decimal"),
        ("1000000000000", 6, "out_of_range"),
        ("999999999999999999", 0, Decimal(999999999999999999)),
        ("0.999999999999999999", 18, Decimal("0.999999999999999999")),
        ("1", 18, "out_of_range"),
    ],
)
def test_decimals(text, scale, expected):
    """Exact, within the column's digits."""
    assert told(parse_decimals(text_bytes(pa.array([text])), scale=scale)) == [expected]


def test_a_decimal_comma():
    """Only where the layout says so."""
    assert told(parse_decimals(text_bytes(pa.array(["1,5", "1.5"])), scale=1, point=",")) == [
        Decimal("1.5"),
        "bad_decimal",
    ]


def test_words_with_a_meaning():
    """Exactly as written; the words are kept beside their meaning."""
    parsed = parse_mapped(pa.array(["NO ANSWER", "no answer", "BUSY"]), {"NO ANSWER": "no_answer", "BUSY": "busy"})

    assert told(parsed) == ["no_answer", "not_allowed", "busy"]
    assert parsed.columns[1].to_pylist() == ["NO ANSWER", "no answer", "BUSY"]


def test_a_closed_choice():
    """Of texts or of numbers."""
    assert not_allowed(pa.array(["I", "O", "i"]), ("I", "O")).rows.tolist() == [False, False, True]
    assert not_allowed(pa.array([0, 1, 2]), (0, 1)).rows.tolist() == [False, False, True]


def test_a_pattern_matches_the_whole_text():
    """Not a part of it, not one of its lines, and alternatives are one pattern."""
    texts = pa.array(["CA12", "xCA12", "CA12x", "CA12\n", "CB", ""])

    assert not_matching(texts, "CA[0-9]+|CB").rows.tolist() == [False, True, True, True, False, True]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True), ("F", False), ("Yes", True), ("n", False), ("1", True), ("0", False),
        ("", "bad_boolean"), ("on", "bad_boolean"), ("2", "bad_boolean"), (" true", "bad_boolean"),
    ],
)  # fmt: skip
def test_booleans(text, expected):
    """The usual words in any case."""
    assert told(parse_booleans(pa.array([text]))) == [expected]


def test_booleans_of_a_layout():
    """The layout's own words, exactly, and no others."""
    assert told(parse_booleans(pa.array(["I", "O", "i", "true"]), {"I": True, "O": False})) == [
        True,
        False,
        "bad_boolean",
        "bad_boolean",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("010.0.0.1", "bad_ip"),
        ("10.0.0", "bad_ip"),
        ("10.0.0.1/8", "bad_ip"),
        ("fe80::1%eth0", "bad_ip"),
        ("", "bad_ip"),
    ],
)
def test_addresses(text, expected):
    """As PostgreSQL's inet holds them."""
    assert told(parse_addresses(pa.array([text]))) == [expected]
