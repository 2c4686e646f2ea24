"""128-bit record keys: who a record is, from the values of its layout's key fields.

Two lanes of 64 bits run over the same values with constants of their own.  Every value is one or more words
of 64 bits; a lane takes a word in by xor and then mixes twice (multiply by an odd constant, fold the high
half down), so a lane never maps two words to one state, and order counts because each word is mixed on top
of the words before it.  The number of columns and their kinds go in first, then the values:

- integer, duration: the value; decimal, money: the value at the column's scale, without the point;
- timestamp: microseconds since 1970 in UTC; date: days since 1970; boolean: 0 or 1;
- text: its UTF-8 bytes hashed by the same two lanes (from a start that the length decides, words of eight bytes,
  zeros behind the last one), one word for each lane.  Text longer than 128 bytes: the first 16 bytes of its BLAKE3
  hash;
- NULL: a word that differs between the lanes, which no value's word does, so NULL is no value and not "".

At the end the lanes are mixed with each other.  The multipliers are those of well-known mixers (splitmix64,
murmur3's fmix64, xxh64's primes).

Limits: this is no cryptographic hash.  Accidental collisions are as good as impossible (a thousand million
records: about 1 in 10^21), but who wants to can construct one.  That is why equal keys with other values
are reported as conflicts and never dropped.  Any change here makes other keys of the same calls: then
KEY_VERSION must go up, and tests/unit/golden_keys.json says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from blake3 import blake3

from trunkline.fields.text_bytes import TextBytes, Words, text_bytes

KEY_VERSION: Final = 1
KEY_TYPE: Final = pa.binary(16)
LONG_TEXT_BYTES: Final = 128  # sixteen rounds over the column; what is longer is rare, and hashed on its own

_ROWS_AT_ONCE = 32_768  # the arrays in work stay in a core's own cache


@dataclass(frozen=True, kw_only=True, slots=True)
class _Lane:
    """Constants of one lane: its start, its odd multipliers, and its word for NULL."""

    start: np.uint64
    first: np.uint64
    second: np.uint64
    null: np.uint64


_LANES: Final = (
    _Lane(
        start=np.uint64(0x243F6A8885A308D3),
        first=np.uint64(0xBF58476D1CE4E5B9),
        second=np.uint64(0x94D049BB133111EB),
        null=np.uint64(0x13198A2E03707344),
    ),
    _Lane(
        start=np.uint64(0xA4093822299F31D0),
        first=np.uint64(0xC2B2AE3D27D4EB4F),
        second=np.uint64(0x9FB21C651E98DF25),
        null=np.uint64(0x082EFA98EC4E6C89),
    ),
)
_FOLD_1, _FOLD_2 = np.uint64(32), np.uint64(29)

_Pair = tuple[Words, Words]  # a word for each lane


def record_keys(columns: Sequence[pa.Array | str]) -> pa.FixedSizeBinaryArray:
    """
    Return the key of every record.

    Args:
        columns: The key's values in the order of the key: arrays of one length n, at least one, of type
            integer, decimal128 (precision up to 18), timestamp in microseconds, date32, bool or string; or a
            text that is the same for every record (the name of the system).

    Returns:
        fixed_size_binary(16) of length n, no nulls.

    Raises:
        TypeError: If a column has another type.
    """
    rows = next(len(column) for column in columns if not isinstance(column, str))
    keys = np.empty((rows, 2), dtype="<u8")
    start = _start(columns)
    for first in range(0, rows, _ROWS_AT_ONCE):
        part = slice(first, min(first + _ROWS_AT_ONCE, rows))
        state = (np.full(part.stop - first, start[0]), np.full(part.stop - first, start[1]))
        for column in columns:
            _absorb(state, _words(column, part))
        _finish(state)
        keys[part, 0], keys[part, 1] = state
    return pa.FixedSizeBinaryArray.from_buffers(KEY_TYPE, rows, [None, pa.py_buffer(keys)])


def _start(columns: Sequence[pa.Array | str]) -> tuple[np.uint64, np.uint64]:
    """Return the lanes' state before any value: version, number and kinds of columns."""
    state = (np.array([_LANES[0].start]), np.array([_LANES[1].start]))
    kinds = [ord("s") if isinstance(column, str) else ord(_kind(column.type)) for column in columns]
    for number in (KEY_VERSION, len(columns), *kinds):
        word = np.array([number], dtype=np.uint64)
        _absorb(state, (word, word))
    return state[0][0], state[1][0]


def _absorb(state: _Pair, words: _Pair) -> None:
    """Take one word into each lane, in place.  For a given state no two words give the same result."""
    for lane, own, word in zip(_LANES, state, words, strict=True):
        own ^= word
        own *= lane.first
        own ^= own >> _FOLD_1
        own *= lane.second
        own ^= own >> _FOLD_2


def _finish(state: _Pair) -> None:
    """Mix the lanes with each other, in place, so that every bit of the values reaches every bit of the key."""
    one, other = state
    one += other
    _absorb(state, (other.copy(), one))
    other += one


def _words(column: pa.Array | str, part: slice) -> _Pair:
    if isinstance(column, str):
        return _text_words(text_bytes(pa.array([column], pa.string())))
    values = column[part]
    words = _KINDS[_kind(column.type)](values)
    if not values.null_count:
        return words
    null = values.is_null().to_numpy(zero_copy_only=False)
    one, other = (np.where(null, lane.null, word) for lane, word in zip(_LANES, words, strict=True))
    return one, other


def _kind(kind: pa.DataType) -> str:
    """Return the letter of a column's kind of value."""
    if pa.types.is_integer(kind):
        return "i"
    if pa.types.is_decimal128(kind) and kind.precision <= 18:
        return "d"
    if pa.types.is_timestamp(kind) and kind.unit == "us":
        return "t"
    if pa.types.is_date32(kind):
        return "D"
    if pa.types.is_boolean(kind):
        return "b"
    if pa.types.is_string(kind):
        return "s"
    raise TypeError(f"no record key from a column of type {kind}")


def _int_words(values: pa.Array) -> _Pair:
    return _same(values.cast(pa.int64()))


def _same(values: pa.Array) -> _Pair:
    """Return the 64-bit values of an array, nulls as whatever is there, for both lanes."""
    numbers = np.frombuffer(values.buffers()[1], dtype=np.int64)
    words = numbers[values.offset : values.offset + len(values)].view(np.uint64)
    return words, words


def _decimal_words(values: pa.Array) -> _Pair:
    # 18 digits fit in the lower half of decimal128; the upper one only repeats the sign.
    halves = np.frombuffer(values.buffers()[1], dtype=np.uint64).reshape(-1, 2)
    words = np.ascontiguousarray(halves[values.offset : values.offset + len(values), 0])
    return words, words


def _date_words(values: pa.Array) -> _Pair:
    return _int_words(values.cast(pa.int32()))


def _text_column_words(values: pa.Array) -> _Pair:
    return _text_words(text_bytes(values))


_KINDS: Final[dict[str, Callable[[pa.Array], _Pair]]] = {
    "i": _int_words,
    "d": _decimal_words,
    "t": _same,
    "D": _date_words,
    "b": _int_words,
    "s": _text_column_words,
}


def _text_words(text: TextBytes) -> _Pair:
    """Return the hash of every value, one word a lane."""
    lengths = text.lengths.view(np.uint64)
    one, other = (lane.start ^ (lengths * lane.first) for lane in _LANES)
    state = (one, other)
    short = np.where(text.lengths > LONG_TEXT_BYTES, 0, text.lengths)
    longest = int(short.max(initial=0))
    for position in range(0, longest, 8):
        rows = np.flatnonzero(short > position)
        _absorb_rows(state, rows, text, position)
    for row in np.flatnonzero(text.lengths > LONG_TEXT_BYTES):
        value = text.data[text.starts[row] : text.ends[row]].tobytes()
        digest = np.frombuffer(blake3(value).digest(length=16), dtype="<u8").astype(np.uint64)
        for own, word in zip(state, digest, strict=True):
            own[row] = word
    return state


def _absorb_rows(state: _Pair, rows: np.ndarray[tuple[int], np.dtype[np.intp]], text: TextBytes, position: int) -> None:
    """Take in the word at *position* of those values that reach so far."""
    if len(rows) == len(text):
        word = text.words(position)
        _absorb(state, (word, word))
        return
    word = text.words(position, rows)
    some = (state[0][rows], state[1][rows])
    _absorb(some, (word, word))
    state[0][rows], state[1][rows] = some
