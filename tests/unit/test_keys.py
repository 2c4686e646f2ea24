"""Record keys: the same for the same values, on every release, and for no others."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from trunkline.keys import KEY_VERSION, record_keys

GOLDEN = json.loads(Path(__file__).with_name("golden_keys.json").read_text(encoding="utf-8"))
TYPES = {
    "int32": pa.int32(),
    "int64": pa.int64(),
    "decimal": pa.decimal128(18, 6),
    "timestamp": pa.timestamp("us", "UTC"),
    "date": pa.date32(),
    "bool": pa.bool_(),
    "text": pa.string(),
}
MASK = 2**64 - 1
LANES = (
    (0x243F6A8885A308D3, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0x13198A2E03707344),
    (0xA4093822299F31D0, 0xC2B2AE3D27D4EB4F, 0x9FB21C651E98DF25, 0x082EFA98EC4E6C89),
)


def mixed(lane: int, state: int, word: int) -> int:
    """Take one word into one lane, in Python's own numbers."""
    _, first, second, _ = LANES[lane]
    state = (state ^ word) * first & MASK
    state ^= state >> 32
    state = state * second & MASK
    return state ^ (state >> 29)


def value_word(lane: int, value: Any) -> int:
    """Return the word of a value for one lane."""
    if value is None:
        return LANES[lane][3]
    if isinstance(value, str):
        data = value.encode()
        if len(data) > 128:
            return int.from_bytes(blake3(data).digest(length=16)[8 * lane : 8 * lane + 8], "little")
        state = LANES[lane][0] ^ (len(data) * LANES[lane][1] & MASK)
        for position in range(0, len(data), 8):
            state = mixed(lane, state, int.from_bytes(data[position : position + 8], "little"))
        return state
    if isinstance(value, datetime):
        return round((value - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000) & MASK
    if isinstance(value, date):
        return (value - date(1970, 1, 1)).days & MASK
    if isinstance(value, Decimal):
        return int(value.scaleb(6)) & MASK
    return int(value) & MASK


def reference_key(kinds: Sequence[str], values: Sequence[Any]) -> str:
    """Return the key of one record, word by word."""
    letters = {"int32": "i", "int64": "i", "decimal": "d", "timestamp": "t", "date": "D", "bool": "b", "text": "s"}
    state = [LANES[0][0], LANES[1][0]]
    for word in (KEY_VERSION, len(kinds), *(ord(letters[kind]) for kind in kinds)):
        state = [mixed(lane, state[lane], word) for lane in (0, 1)]
    for value in values:
        state = [mixed(lane, state[lane], value_word(lane, value)) for lane in (0, 1)]
    one, other = (state[0] + state[1]) & MASK, state[1]
    one = mixed(0, one, other)
    other = mixed(1, other, one)
    return struct.pack("<2Q", one, (other + one) & MASK).hex()


def keys_of(kinds: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return the keys of rows of Python values."""
    columns = [pa.array([row[place] for row in rows], TYPES[kind]) for place, kind in enumerate(kinds)]
    return [key.as_py().hex() for key in record_keys(columns)]


def parsed(kind: str, value: Any) -> Any:
    """Return a golden value as the type that it stands for."""
    if value is None:
        return None
    read: dict[str, Any] = {"decimal": Decimal, "timestamp": datetime.fromisoformat, "date": date.fromisoformat}
    return read[kind](value) if kind in read else value


@pytest.mark.parametrize("case", GOLDEN["keys"], ids=lambda case: case["about"])
def test_a_key_never_changes(case):
    """What earlier releases called a record is what this one calls it."""
    values = [parsed(kind, value) for kind, value in zip(case["kinds"], case["values"], strict=True)]

    assert [case["key"]] == keys_of(case["kinds"], [values])
    assert GOLDEN["version"] == KEY_VERSION


VALUES = {
    "int32": st.none() | st.integers(-(2**31), 2**31 - 1),
    "int64": st.none() | st.integers(-(2**63), 2**63 - 1),
    "decimal": st.none() | st.decimals(-(10**11), 10**11, places=6),
    "timestamp": st.none()
    | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(lambda t: t.replace(tzinfo=UTC)),  # noqa: DTZ001
    "date": st.none() | st.dates(),
    "bool": st.none() | st.booleans(),
    "text": st.none() | st.text(max_size=40) | st.text(alphabet="0aé", min_size=120, max_size=140),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[Any]]]:
    """Return kinds of columns, and rows of them."""
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=5))
    row = st.tuples(*(VALUES[kind] for kind in kinds)).map(list)
    return kinds, draw(st.lists(row, min_size=1, max_size=30))


@given(tables())
def test_keys_are_those_of_the_reference(table):
    """A column at once gives what record by record gives."""
    kinds, rows = table

    assert [reference_key(kinds, row) for row in rows] == keys_of(kinds, rows)


@given(tables(), st.data())
def test_a_key_does_not_depend_on_its_neighbours(table, data):
    """A record has the same key alone, in a slice and in a block."""
    kinds, rows = table
    first = data.draw(st.integers(0, len(rows) - 1))
    columns = [pa.array([row[place] for row in rows], TYPES[kind]) for place, kind in enumerate(kinds)]

    assert record_keys([column[first:] for column in columns]).equals(record_keys(columns)[first:])


@given(st.lists(st.lists(st.none() | st.text(max_size=20), min_size=2, max_size=2), min_size=2, max_size=20))
def test_other_values_have_other_keys(rows):
    """NULL, "" and every text differ, also where they only change places or move from one column to the next."""
    distinct = {tuple(row) for row in rows}

    assert len(distinct) == len(set(keys_of(["text", "text"], [list(row) for row in distinct])))


def test_a_constant_part_is_like_a_column_of_it():
    """The system's name counts as if every record stated it."""
    calls = pa.array(["a", "b", None])

    assert record_keys(["pbx-1", calls]).equals(record_keys([pa.array(["pbx-1"] * 3), calls]))


def test_the_number_of_columns_counts():
    """A record with an empty last column is not one without it."""
    assert keys_of(["text"], [["a"]]) != keys_of(["text", "text"], [["a", None]])


def test_more_records_than_are_worked_on_at_once():
    """A block longer than a part has the keys of its parts."""
    numbers = pa.array(np.arange(100_000))
    keys = record_keys([numbers])

    assert len(keys.unique()) == 100_000
    assert keys[99_000:].equals(record_keys([numbers[99_000:]]))


def test_no_records_have_no_keys():
    """An empty block has an empty array of keys."""
    assert len(record_keys([pa.array([], pa.string())])) == 0


def test_structured_values_do_not_collide():
    """A million neighbouring calls of numbers, seconds and prices have a million keys, in each half of the key."""
    count = 1_000_000
    number = np.arange(count)
    keys = record_keys(
        [
            pa.array(number % 100),
            pa.array(number // 100 % 100 * 1_000_000).cast(pa.timestamp("us", "UTC")),
            pa.array(number // 10_000),
            pa.array(np.zeros(count, dtype=np.int32)),
        ]
    )
    halves = np.frombuffer(keys.buffers()[1], dtype="<u8").reshape(-1, 2)

    assert [count, count] == [len(np.unique(halves[:, half])) for half in (0, 1)]


@pytest.mark.parametrize("place", [0, 1])
def test_every_bit_of_a_value_changes_about_half_of_the_key(place):
    """Avalanche: whichever input bit flips, each key bit flips in 40 to 60 of 100 records."""
    generator = np.random.default_rng(1)
    rows = 4_096
    words = [generator.integers(-(2**62), 2**62, rows) for _ in range(2)]
    before = _bits(record_keys([pa.array(word) for word in words]))

    for bit in range(64):
        flipped = [word.copy() for word in words]
        flipped[place] = (flipped[place].view(np.uint64) ^ np.uint64(1 << bit)).view(np.int64)
        changed = (before != _bits(record_keys([pa.array(word) for word in flipped]))).mean(axis=0)
        assert changed.min() > 0.4, f"input bit {bit} hardly reaches key bit {int(changed.argmin())}"
        assert changed.max() < 0.6


def _bits(keys: pa.FixedSizeBinaryArray) -> np.ndarray:
    data = np.frombuffer(keys.buffers()[1], dtype=np.uint8).reshape(-1, 16)
    return np.unpackbits(data, axis=1)
