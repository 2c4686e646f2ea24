"""DataFrames of the user to batches and back: text in, typed calls and rejects out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
from blake3 import blake3

from trunkline.blocks import REJECT_COLUMNS, Lines, RawRecords, RejectTable, TypedBlock
from trunkline.errors import UsageError
from trunkline.fields.text_bytes import text_bytes

SOURCE_LINE = "source_line"


def text_batch(frame: pd.DataFrame) -> pa.RecordBatch:
    """
    Return the columns of a frame as text, nulls as they are.

    Raises:
        UsageError: If a column is not text: its values are no longer what the source says.
    """
    names = [str(name) for name in frame.columns]
    columns = [_text(frame.iloc[:, place], name) for place, name in enumerate(names)]
    return pa.RecordBatch.from_arrays(columns, names=names)


def _text(column: pd.Series, name: str) -> pa.StringArray:
    try:
        array = _whole(pa.array(column, from_pandas=True))
        if pa.types.is_string(array.type) or pa.types.is_large_string(array.type) or pa.types.is_null(array.type):
            return array.cast(pa.string())
    except pa.ArrowInvalid:  # values of several types
        pass
    raise UsageError(
        f"column {name!r} is {column.dtype}, expected text as the source has it",
        hint="use extract(), or read it with pandas.read_csv(..., dtype=str, keep_default_na=False)",
    )


def typed_batch(calls: pd.DataFrame, names: Sequence[str]) -> pa.RecordBatch:
    """
    Return these columns of typed calls as `transform` made them.

    Raises:
        UsageError: If one is missing.
    """
    missing = [name for name in names if name not in calls.columns]
    if missing:
        raise UsageError(
            f"the calls have no column {', '.join(missing)}",
            hint="pass what transform() returned, with the same layout",
        )
    return pa.RecordBatch.from_arrays([_whole(pa.array(calls[name])) for name in names], names=list(names))


def _whole(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def source_lines(frame: pd.DataFrame) -> Lines:
    """Return the source line of each row: the index if it is called so, else rows are counted from 1."""
    if frame.index.name == SOURCE_LINE:
        return frame.index.to_numpy(dtype=np.int64)
    return np.arange(1, len(frame) + 1, dtype=np.int64)


def digest(batch: pa.RecordBatch, lines: Lines) -> str:
    """Return a hash, in hex, of names, texts and lines: equal ones give equal transformations."""
    hasher = blake3(json.dumps([batch.num_rows, batch.schema.names]).encode())
    hasher.update(np.ascontiguousarray(lines).tobytes())
    for column in batch.columns:
        text = text_bytes(column)
        hasher.update(text.lengths.tobytes())
        hasher.update(text.data.tobytes())
        if column.null_count:
            hasher.update(np.packbits(column.is_null().to_numpy(zero_copy_only=False)).tobytes())
    return hasher.hexdigest()


def calls_frame(parts: Sequence[TypedBlock], firsts: Sequence[int]) -> pd.DataFrame:
    """Return typed calls as one frame, indexed by source line; *firsts* are the lines that each part counts from."""
    table = pa.Table.from_batches([part.batch for part in parts])
    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    lines = [part.lines + first for part, first in zip(parts, firsts, strict=True)]
    frame.index = pd.Index(np.concatenate(lines), name=SOURCE_LINE)
    return frame


def rejects_frame(
    parts: Sequence[TypedBlock],
    firsts: Sequence[int],
    frame: pd.DataFrame,
    batch: pa.RecordBatch,
    earlier: pd.DataFrame | None,
) -> RejectTable:
    """
    Return the rejects of all parts, and those of extraction, by source line.

    Args:
        parts: What became of the frame.
        firsts: The source line that each part counts from.
        frame: The text; its attrs may hold the original bytes.
        batch: The same as text, from which a record's bytes are written where the attrs hold none.
        earlier: Rejects of extraction, if any.
    """
    found = pa.Table.from_batches([part.rejects for part in parts])
    shifts = np.repeat(np.array(firsts, dtype=np.int64), [part.rejects.num_rows for part in parts])
    lines = found["line"].to_numpy() + shifts
    places = _places(lines, frame, batch)
    table = pd.DataFrame(
        {
            "source_line": lines,
            "byte_offset": [offset for offset, _ in places],
            "raw": [raw for _, raw in places],
            **{name: found[name].to_pylist() for name in ("field", "code", "message")},
        },
        columns=list(REJECT_COLUMNS),
    )
    if earlier is not None and len(earlier):
        table = pd.concat([pd.DataFrame(earlier), table], ignore_index=True) if len(table) else pd.DataFrame(earlier)
    return RejectTable(table.sort_values("source_line", kind="stable", ignore_index=True))


def _places(lines: Lines, frame: pd.DataFrame, batch: pa.RecordBatch) -> list[tuple[int, bytes]]:
    """Return byte offset and bytes of the records at *lines*."""
    records = frame.attrs.get("records")
    if isinstance(records, RawRecords):
        return [records.find(line) for line in lines.tolist()]
    rows = {line: row for row, line in enumerate(source_lines(frame).tolist())} if len(lines) else {}
    return [(0, as_csv(batch, rows[line])) for line in lines.tolist()]


def as_csv(batch: pa.RecordBatch, row: int) -> bytes:
    """Return a record that has no bytes of its own, as a frame of the user's may hold, as CSV."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([column[row].as_py() for column in batch.columns])
    return out.getvalue().encode()
