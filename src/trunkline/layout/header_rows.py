"""The header found again among the records, as in files that were joined end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from trunkline.errors import RefusedError

if TYPE_CHECKING:
    from trunkline.layout.model import Layout

_BYTE_ORDER_MARK = "\ufeff"  # that of a joined file stands in front of its first name


def repeated_headers(batch: pa.RecordBatch, layout: Layout) -> npt.NDArray[np.int64]:
    """
    Return the rows of *batch* that are its header once more.  They are no calls.

    Args:
        batch: Text columns, named by the header.
        layout: Whether the source has a header; without one, no record can repeat it.

    Raises:
        RefusedError: If a row has the names in another order: the records after it would be read wrong.
    """
    names = batch.schema.names
    if layout.dialect.header is False or not names:
        return np.empty(0, dtype=np.int64)
    rows = [row for row in _rows_of_names(batch).tolist() if sorted(_row(batch, row)) == sorted(names)]
    if any(_row(batch, row) != names for row in rows):
        raise RefusedError(
            "found a second header with the columns in another order, expected one order in a source",
            hint="load the files that were joined one by one",
        )
    return np.array(rows, dtype=np.int64)


def _rows_of_names(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """Return the rows that hold nothing but names of columns."""
    names = pa.array([*batch.schema.names, *(_BYTE_ORDER_MARK + name for name in batch.schema.names)], pa.string())
    rows = np.arange(0)
    for place, column in enumerate(batch.columns):
        found = pc.is_in(column.take(pa.array(rows)) if place else column, value_set=names)
        if not found.true_count:
            return np.empty(0, dtype=np.int64)
        there = found.to_numpy(zero_copy_only=False)
        rows = rows[there] if place else np.flatnonzero(there)
    return rows if any(batch.schema.names) else rows[:0]


def _row(batch: pa.RecordBatch, row: int) -> list[str]:
    texts = [column[row].as_py() for column in batch.columns]
    return [texts[0].removeprefix(_BYTE_ORDER_MARK), *texts[1:]]
