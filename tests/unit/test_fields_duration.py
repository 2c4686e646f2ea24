"""Durations: exact seconds, in every unit, or bad."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.fields.duration import SECONDS, parse_durations
from trunkline.fields.text_bytes import text_bytes


def durations(texts: list[str], unit: str, scale: int = 0) -> list[object]:
    """Return each duration, or the code of its first fault."""
    parsed = parse_durations(text_bytes(pa.array(texts, pa.string())), unit=unit, scale=scale)
    return [
        next((fault.code for fault in parsed.faults if fault.rows[row]), value)
        for row, value in enumerate(parsed.columns[0].to_pylist())
    ]


@pytest.mark.parametrize(
    ("unit", "scale", "text", "expected"),
    [
        ("hms", 0, "00:05:30", 330),
        ("hms", 0, "0:00:00", 0),
        ("hms", 0, "123:00:01", 442_801),  # 123 * 3600 + 1
        ("hms", 0, "00:05:30.5", "bad_duration"),
        ("hms", 0, "00:05:30.0", "bad_duration"),
        ("hms", 3, "00:05:30.5", Decimal("330.500")),
        ("hms", 3, "0:00:07.123", Decimal("7.123")),
        ("hms", 3, "0:00:07.1234", "bad_duration"),
        ("hms", 3, "0:00:07", Decimal("7.000")),
        ("hms", 3, "0:00:07.", "bad_duration"),
        ("hms", 0, "596523:14:07", 2_147_483_647),
        ("hms", 0, "596523:14:08", "out_of_range"),
        ("hms", 0, "99999999999999999999:00:00", "out_of_range"),
        ("s", 0, "330", 330),
        ("s", 0, "0", 0),
        ("s", 0, "330.0", 330),
        ("s", 0, "330.5", "bad_duration"),
        ("s", 1, "330.5", Decimal("330.5")),
        ("s", 6, "0.000001", Decimal("0.000001")),
        ("s", 6, "0.0000001", "bad_duration"),
        ("s", 0, "2147483647", 2_147_483_647),
        ("s", 0, "2147483648", "out_of_range"),
        ("s", 0, "9" * 30, "out_of_range"),
        ("ms", 3, "1500", Decimal("1.500")),
        ("ms", 0, "1500", "bad_duration"),
        ("ms", 0, "2000", 2),
        ("us", 6, "1", Decimal("0.000001")),
        ("min", 0, "5.5", 330),
        ("min", 0, "0.01", "bad_duration"),
        ("h", 0, "1.5", 5_400),
        ("6s", 0, "55", 330),
        ("0.1min", 0, "55", 330),
    ],
)
def test_units(unit, scale, text, expected):
    """The arithmetic of every unit; what is no whole step of the column's scale is bad and not rounded."""
    assert durations([text], unit, scale) == [expected]
    assert durations([text, "x", text], unit, scale) == [expected, "bad_duration", expected]


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "::", "05:30", "5:30", "00:5:30", "00:05:3", "00:60:00", "00:05:60", "-00:05:30", "00:-5:30",
        "+0:05:30", "00:05:30 ", " 00:05:30", "00-05-30", "00:05:30:00", "0 days 00:05:30", "1:00:05:30", ":05:30",
        "00:05:3a",        "٠٠:٠٥:٣٠", "00.05.30", "330",
    ],
)  # fmt: skip
def test_what_is_no_clock_time(text):
    """Hours, two digits of minutes and two of seconds below 60, and nothing else."""
    assert durations([text], "hms") == ["bad_duration"]
    assert durations(["00:05:30", text], "hms") == [330, "bad_duration"]


@pytest.mark.parametrize("unit", sorted(SECONDS))
@pytest.mark.parametrize("text", ["", "-1", "-0.5", "+1", "1e3", "1:30", "NaN", "1,5", "5.", "٥"])
def test_what_is_no_number(unit, text):
    """Negative durations are bad in every unit."""
    assert durations([text], unit) == ["bad_duration"]


@given(
    st.lists(st.from_regex(re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII), fullmatch=True), max_size=20),
    st.sampled_from(sorted(SECONDS)),
    st.integers(0, 6),
)
def test_numbers_are_those_of_exact_fractions(texts, unit, scale):
    """Seconds are the number times the unit, if the column can hold that exactly."""
    for text, value in zip(texts, durations(texts, unit, scale), strict=True):
        exact = Fraction(text) * SECONDS[unit]
        if exact > 2**31 - 1:
            assert value in ("out_of_range", "bad_duration")
        elif (exact * 10**scale).denominator > 1:
            assert value == "bad_duration"
        else:
            assert Fraction(str(value)) == exact


@given(st.lists(st.integers(0, 2**31 - 3_601), max_size=20))
def test_clock_times_are_read_back(seconds):
    """What is written as hours, minutes and seconds is the same number again."""
    texts = [f"{each // 3600:02}:{each // 60 % 60:02}:{each % 60:02}" for each in seconds]

    assert durations(texts, "hms") == seconds
