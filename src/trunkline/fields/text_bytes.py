"""A column of text as bytes that numpy can work on: where each value starts, how long it is, its n-th byte.

Parsers and keys read values through this view, so that no Python runs per record.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]

# Zero bytes behind the data: a parser may look past the end of the last value, and before the start of the
# first (a negative index wraps around to here), and finds a byte that belongs to no text.
PAD = 64
# Reading further than this from a value's start or end would leave the padding.
MAX_REACH = PAD - 8

_MASKS = np.array([(1 << (8 * kept)) - 1 for kept in range(9)], dtype=np.uint64)


@dataclass(frozen=True, kw_only=True, eq=False)
class TextBytes:
    """
    A string column as bytes.

    Attributes:
        data: The bytes of all values, followed by PAD zero bytes.
        starts: Offset of each value in *data*.
        lengths: Length of each value in bytes.  A null value has the length that its slot has, mostly 0.
    """

    data: Bytes
    starts: Ints
    lengths: Ints

    def __len__(self) -> int:
        return len(self.starts)

    @cached_property
    def width(self) -> int | None:
        """The length that all values share, or None."""
        if not len(self):
            return None
        first = int(self.lengths[0])
        return first if bool((self.lengths == first).all()) else None

    @cached_property
    def ends(self) -> Ints:
        """Offset in *data* behind the last byte of each value."""
        return self.starts + self.lengths

    @cached_property
    def grid(self) -> Bytes | None:
        """Row j holds the j-th byte of every value; None unless all have one length and lie evenly in the data."""
        if not self.width:
            return None
        starts, stride = self.starts, int(self.starts[1] - self.starts[0]) if len(self) > 1 else 0
        if not bool((np.diff(starts) == stride).all()):
            return None
        table = np.lib.stride_tricks.as_strided(
            self.data[int(starts[0]) :], shape=(len(self), self.width), strides=(stride, 1), writeable=False
        )
        return np.ascontiguousarray(table.T)

    def at(self, position: int | Ints) -> Bytes:
        """Return the byte at *position* of every value; past its end, whatever follows in *data*."""
        if isinstance(position, int) and 0 <= position < (self.width or 0) and self.grid is not None:
            row: Bytes = self.grid[position]
            return row
        return self.data.take(self.starts + position)

    def from_end(self, position: int) -> Bytes:
        """Return the byte that is *position* bytes before the last one of every value."""
        if self.width is not None:
            return self.at(self.width - 1 - position)
        return self.data.take(self.ends - (position + 1))

    def trimmed(self, *, front: int | Ints = 0, back: int | Ints = 0) -> TextBytes:
        """Return the values without *front* bytes at their start and *back* bytes at their end."""
        return TextBytes(data=self.data, starts=self.starts + front, lengths=self.lengths - front - back)

    def take(self, rows: Ints) -> TextBytes:
        """Return the values of *rows* only."""
        return TextBytes(data=self.data, starts=self.starts[rows], lengths=self.lengths[rows])

    def words(self, position: int, rows: Ints | None = None) -> Words:
        """
        Return eight bytes of each value from *position* on, as one little-endian word, zero past its end.

        Args:
            position: First byte, the same for every value.
            rows: Only of these values, all longer than *position*; None for all values.
        """
        starts, lengths = (self.starts, self.lengths) if rows is None else (self.starts[rows], self.lengths[rows])
        everywhere = np.ndarray((len(self.data) - 7,), dtype="<u8", buffer=self.data, strides=(1,))
        words = everywhere[starts + position].astype(np.uint64, copy=False)  # take() would copy all of them first
        left = lengths - position
        if len(left) and int(left.min()) < 8:
            words &= _MASKS.take(np.clip(left, 0, 8))
        return words


def text_bytes(column: pa.StringArray) -> TextBytes:
    """Return the bytes of *column* (type string); its values are copied once, for the padding."""
    bounds = _bounds(column).astype(np.int64)
    first, last = int(bounds[0]), int(bounds[-1])
    padded = np.zeros(last - first + PAD, dtype=np.uint8)
    data = column.buffers()[2]
    if data is not None:
        padded[: last - first] = np.frombuffer(data, dtype=np.uint8)[first:last]
    bounds -= first
    return TextBytes(data=padded, starts=bounds[:-1], lengths=np.diff(bounds))


def mask_of(values: pa.BooleanArray) -> Mask:
    """Return booleans of Arrow as those of numpy; null is false."""
    return np.asarray(values.fill_null(False).to_numpy(zero_copy_only=False), dtype=np.bool_)


def text_buffer(column: pa.StringArray) -> bytes:
    """Return the texts of *column* (type string), one after the other."""
    bounds, data = _bounds(column), column.buffers()[2]
    first, last = int(bounds[0]), int(bounds[-1])
    return bytes(data.slice(first, last - first)) if data is not None else b""


def byte_lengths(column: pa.StringArray) -> npt.NDArray[np.int32]:
    """Return the length of each value of *column* (type string) in bytes, that of nulls mostly 0."""
    return np.diff(_bounds(column))


def _bounds(column: pa.StringArray) -> npt.NDArray[np.int32]:
    """Return where values start and end in the column's data."""
    offsets = column.buffers()[1]
    if offsets is None or not len(column):
        return np.zeros(len(column) + 1, dtype=np.int32)
    return np.frombuffer(offsets, dtype=np.int32)[column.offset : column.offset + len(column) + 1]
