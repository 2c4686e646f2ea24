"""Values as switches write them: durations of Go programs, addresses as numbers, words beyond a map; against the
simplest code that says the same."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.fields.go_duration import parse_go_durations
from trunkline.fields.text import parse_address_numbers, parse_mapped
from trunkline.fields.text_bytes import text_bytes


def values(parsed):
    """Return each value, or the code of its first fault."""
    return [
        next((fault.code for fault in parsed.faults if fault.rows[row]), value)
        for row, value in enumerate(parsed.columns[0].to_pylist())
    ]


@pytest.mark.parametrize(
    ("scale", "text", "expected"),
    [
        (0, "1m5s", 65),
        (0, "10s", 10),
        (0, "0s", 0),
        (0, "0", 0),
        (0, "1h2m3s", 3_723),
        (0, "1.5m", 90),
        (0, "65", "bad_duration"),  # seconds or nanoseconds
        (0, "", "bad_duration"),
        (0, "1m5", "bad_duration"),
        (0, "m", "bad_duration"),
        (0, "1 m", "bad_duration"),
        (0, "-1s", "bad_duration"),
        (0, "-0s", 0),
        (0, "1.5s", "bad_duration"),
        (3, "1.5s", Decimal("1.500")),
        (3, "250ms", Decimal("0.250")),
        (3, "250\u00b5s", "bad_duration"),
        (6, "250\u00b5s", Decimal("0.000250")),
        (6, "1ns", "bad_duration"),
        (0, "596523h14m7s", 2_147_483_647),
        (0, "596523h14m8s", "out_of_range"),
    ],
)
def test_a_duration_of_go(scale, text, expected):
    """Each number has its unit; nothing is rounded."""
    assert values(parse_go_durations(pa.array([text], pa.string()), scale=scale)) == [expected]


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 59), st.integers(0, 59))))
def test_durations_of_go_against_timedelta(clocks):
    """What timedelta says of the parts is what the column says."""
    texts = pa.array([f"{hours}h{minutes}m{seconds}s" for hours, minutes, seconds in clocks], pa.string())

    assert values(parse_go_durations(texts)) == [
        timedelta(hours=hours, minutes=minutes, seconds=seconds) // timedelta(seconds=1)
        for hours, minutes, seconds in clocks
    ]


def test_durations_that_are_absent():
    """A null has a place in the column, whatever stands there."""
    assert len(parse_go_durations(pa.array([None, "1s"], pa.string())).columns[0]) == 2
    assert len(parse_go_durations(pa.array([], pa.string())).columns[0]) == 0


@given(st.lists(st.integers(-(2**31), 2**32 - 1)))
def test_addresses_as_numbers(numbers):
    """The four bytes of the number, low byte first, are the address."""
    parsed = parse_address_numbers(text_bytes(pa.array(map(str, numbers), pa.string())))

    expected = [str(ipaddress.IPv4Address((number % 2**32).to_bytes(4, "little"))) for number in numbers]
    assert values(parsed) == expected


@pytest.mark.parametrize("text", ["", "x", "192.168.18.188", "4294967296", "-2147483649", "007", "9" * 30])
def test_no_address(text):
    """What is no number of 32 bits is no address."""
    assert values(parse_address_numbers(text_bytes(pa.array([text], pa.string())))) == ["bad_ip"]


def test_words_beyond_the_map():
    """With another name for the rest no record is lost for a word that nobody knew; without, it is a reject."""
    words = pa.array(["USER_BUSY", "NEW_CAUSE"], pa.string())

    assert values(parse_mapped(words, {"USER_BUSY": "busy"}, "failed")) == ["busy", "failed"]
    assert parse_mapped(words, {"USER_BUSY": "busy"}, "failed").columns[1] == words
    assert values(parse_mapped(words, {"USER_BUSY": "busy"})) == ["busy", "not_allowed"]
