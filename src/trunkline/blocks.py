"""The values that travel through the pipeline: a block of bytes, of text, of typed calls, and its rejects.

Lines inside a block are counted from 0, so that equal blocks of different sources are equal values and can
share one cache entry; a block's
`first_line` and `first_byte` turn them into places in the source.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from trunkline.findings import Findings
from trunkline.framing.scanning import line_bounds

Lines = npt.NDArray[np.int64]
FindBounds = Callable[[bytes], tuple[Lines, Lines]]
"""Where the record that starts in each physical line of some bytes starts and ends."""

REJECT_SCHEMA = pa.schema(
    [
        pa.field("line", pa.int64(), nullable=False),  # block-relative, from 0
        pa.field("field", pa.string()),  # the layout's field name; null where the record as a whole is bad
        pa.field("code", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
    ]
)
NO_REJECTS = pa.RecordBatch.from_pylist([], schema=REJECT_SCHEMA)
REJECT_COLUMNS = ("source_line", "byte_offset", "raw", "field", "code", "message")


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """
    A run of whole records of a source.

    Attributes:
        position: Number of the block in its source, from 0.
        first_byte: Offset of *data* in the decompressed source, in bytes.
        first_line: Source line of the first line of *data*, from 1.
        data: The bytes as the source has them, line ends included.
        lines: Physical lines in *data*, blank ones included.
        identity: Its `framing.cutting.block_identity`, as it was read when it was cut, where that had to be taken to
            find out that it is there again; else empty.
    """

    position: int
    first_byte: int
    first_line: int
    data: bytes
    lines: int
    identity: str = field(default="", compare=False)

    @property
    def size(self) -> int:
        """Bytes in *data*."""
        return len(self.data)


@dataclass(frozen=True, kw_only=True, slots=True)
class TextBlock:
    """
    The records of a block as text, what extraction makes of it.

    Attributes:
        batch: One string column per CSV column, named by the header (names may repeat; "1".."n" without a
            header), in file order, no nulls.
        lines: Block-relative line of each row of *batch*, ascending.
        rejects: Records that could not be read (REJECT_SCHEMA).
        read: Records in the block: rows of *batch* plus *rejects*.
    """

    batch: pa.RecordBatch
    lines: Lines
    rejects: pa.RecordBatch
    read: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TypedBlock:
    """
    The calls of a block with their types and keys, what transformation makes of it.

    Attributes:
        batch: The layout's columns, then ``record_key`` (fixed_size_binary(16)).
        lines: Block-relative line of each row of *batch*, ascending.
        rejects: Records that cannot be loaded (REJECT_SCHEMA), those of extraction included.
        read: Records in the block: rows of *batch* plus *rejects* plus *filtered*.
        filtered: Records that the layout says are not calls.
        findings: What they show beside their values.
    """

    batch: pa.RecordBatch
    lines: Lines
    rejects: pa.RecordBatch
    read: int
    filtered: int
    findings: Findings = field(default_factory=Findings)


@dataclass(frozen=True, kw_only=True, slots=True)
class TypedTotals:
    """Sums over typed calls, taken before they reach PostgreSQL: seconds, and exact cost by ISO 4217
    currency ("" where none is known)."""

    duration_s: Decimal = Decimal(0)
    cost: dict[str, Decimal] = field(default_factory=dict)


class RawRecords:
    """
    The original bytes of records, by source line.

    Immutable, and shared rather than copied: pandas deep-copies the attrs of a frame in almost every
    operation.  Keeps the bytes of the blocks, and nothing per record.
    """

    def __init__(self, blocks: Iterable[Block], bounds: FindBounds = line_bounds) -> None:
        """
        Keep what is needed to find a record again.

        Args:
            blocks: In source order.
            bounds: Says where the records that start in each physical line of a block's data start and end.
        """
        self._blocks = tuple(blocks)
        self._bounds = bounds
        self._first_lines = [block.first_line for block in self._blocks]
        self._found: tuple[int, Lines, Lines] | None = None  # of the block last asked for: rejects come in order

    def __deepcopy__(self, memo: dict[int, Any]) -> RawRecords:
        return self

    def find(self, source_line: int) -> tuple[int, bytes]:
        """
        Return the byte offset in the decompressed source and the bytes, line end excluded, of the record that
        starts at *source_line*.

        Raises:
            KeyError: If no block holds that line.
        """
        part = bisect_right(self._first_lines, source_line) - 1
        if part < 0:
            raise KeyError(source_line)
        block = self._blocks[part]
        line = source_line - block.first_line
        starts, ends = self._bounds_of(part)
        if line >= len(starts):
            raise KeyError(source_line)
        start, end = int(starts[line]), int(ends[line])
        return block.first_byte + start, block.data[start:end]

    def _bounds_of(self, part: int) -> tuple[Lines, Lines]:
        found = self._found  # read once: another thread may replace it
        if found is None or found[0] != part:
            found = (part, *self._bounds(self._blocks[part].data))
            self._found = found
        return found[1], found[2]

    def __add__(self, other: RawRecords) -> RawRecords:
        """Return the records of both, of which *other* comes later in the same source."""
        return RawRecords([*self._blocks, *other._blocks], self._bounds)

    def __iter__(self) -> Iterator[Block]:
        return iter(self._blocks)


class RejectTable(pd.DataFrame):
    """
    Rejects as a DataFrame with the columns REJECT_COLUMNS, safe to keep in another frame's attrs.

    pandas compares attrs with ``==`` when it joins frames, and a DataFrame's own ``==`` is elementwise and
    has no truth value: two frames with
    rejects in their attrs could not be concatenated.  Here ``==`` asks whether it is the same table.
    """

    def __eq__(self, other: object) -> bool:  # type: ignore[override]
        return self is other

    __hash__ = None

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> RejectTable:
        return self
