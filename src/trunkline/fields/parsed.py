"""What a field parser returns: a column of values, and which of them cannot be used and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trunkline.fields.text_bytes import Ints, Mask


@dataclass(frozen=True, kw_only=True, eq=False)
class Fault:
    """
    One way in which values of a column are bad.

    Attributes:
        code: Stable reason code (docs: reject codes).
        rows: Which values it is about.
        expected: What was expected instead, to follow the word "expected"; no value in it.
    """

    code: str
    rows: Mask
    expected: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Parsed:
    """
    A column of text, parsed.

    Attributes:
        columns: The typed columns that the field fills, in the layout's order (an amount and its currency).
            Values of bad rows are arbitrary.
        faults: What is wrong, the first one that names a row counts.
    """

    columns: tuple[pa.Array, ...]
    faults: tuple[Fault, ...] = ()

    def __getitem__(self, rows: slice) -> Parsed:
        """Return what became of some of the values."""
        faults = (Fault(code=each.code, rows=each.rows[rows], expected=each.expected) for each in self.faults)
        return Parsed(columns=tuple(column[rows] for column in self.columns), faults=tuple(faults))


def fixed_width(values: npt.NDArray[np.generic], kind: pa.DataType, absent: Mask | None = None) -> pa.Array:
    """
    Return numpy *values* as an Arrow array of *kind*, without a copy where memory allows.

    Args:
        values: One value a row in Arrow's memory format (microseconds for a timestamp).
        kind: A type of 32 or 64 bits.
        absent: Rows that are null, or None.
    """
    valid = None if absent is None else pa.py_buffer(np.packbits(~absent, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(np.ascontiguousarray(values))])


def decimals(unscaled: Ints, scale: int) -> pa.Array:
    """Return whole numbers of the smallest unit (1.20 at scale 2 is 120) as decimal128(18, scale)."""
    halves = np.empty((len(unscaled), 2), dtype=np.int64)  # little-endian: lower half first
    halves[:, 0] = unscaled
    halves[:, 1] = unscaled >> 63  # the sign, over all bits
    return pa.Array.from_buffers(pa.decimal128(18, scale), len(unscaled), [None, pa.py_buffer(halves)])
