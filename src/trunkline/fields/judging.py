"""From the faults of fields to rejects: the first field that fails decides, with a message that holds no value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trunkline.blocks import NO_REJECTS, REJECT_SCHEMA, Lines
from trunkline.fields.parsed import Fault
from trunkline.fields.text_bytes import PAD, Ints, Mask, text_bytes

_SHOWN_CHARACTERS = 40
_DROPPED = 0


def _stand_in(byte: int) -> int:
    """Return what a message shows for a byte of UTF-8."""
    character = chr(byte)
    if byte >= 0xC0:  # the first byte of a character beyond ASCII
        return ord("a")
    if byte >= 0x80:  # its other bytes
        return _DROPPED
    if character.isalpha():
        return ord("A" if character.isupper() else "a")
    if character.isdigit():
        return ord("9")
    return byte if character.isprintable() else ord("?")


_STAND_INS = np.array([_stand_in(byte) for byte in range(256)], dtype=np.uint8)


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """
    What is wrong with a field.

    Attributes:
        field: Name of the field, or None where it is the record as a whole.
        text: What the record says there.
        faults: What is wrong, the first one that names a row counts.
    """

    field: str | None
    text: pa.StringArray
    faults: tuple[Fault, ...]


def judge(judged: Iterable[Judged], lines: Lines) -> tuple[Mask, pa.RecordBatch]:
    """
    Return which rows are good, and one reject for every other (REJECT_SCHEMA, ascending lines).

    Args:
        judged: The fields in the order in which they decide.
        lines: Block-relative line of each row.
    """
    good = np.ones(len(lines), dtype=np.bool_)
    parts = []
    for each in judged:
        for fault in each.faults:
            rows = np.flatnonzero(fault.rows & good)
            if len(rows):
                good[rows] = False
                parts.append(_rejects(each, fault, rows, lines))
    return good, sorted_rejects(parts)


def sorted_rejects(parts: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Return all rejects in one batch, by line."""
    table = pa.Table.from_batches(parts, schema=REJECT_SCHEMA)
    if not table.num_rows:
        return NO_REJECTS
    return table.take(np.argsort(table["line"].to_numpy(), kind="stable")).combine_chunks().to_batches()[0]


def _rejects(judged: Judged, fault: Fault, rows: Ints, lines: Lines) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [
            pa.array(lines[rows]),
            pa.repeat(pa.scalar(judged.field, pa.string()), len(rows)),
            pa.repeat(fault.code, len(rows)),
            _messages(judged.text.take(pa.array(rows)), fault.expected),
        ],
        schema=REJECT_SCHEMA,
    )


def _messages(text: pa.StringArray, expected: str) -> pa.StringArray:
    found = pc.if_else(pc.fill_null(pc.equal(text, ""), True), "nothing", shape(text))
    return pc.binary_join_element_wise("found ", found, f", expected {expected}", "")


def shape(text: pa.StringArray) -> pa.StringArray:
    """
    Return what values look like without what they are: digits as 9, letters as a and A, the rest as it is.

    A message goes to logs and terminals, where personal data must not be; "found +999 9999" says enough.
    Characters beyond ASCII count as small letters.  What is long is cut.
    """
    cut = text_bytes(pc.utf8_slice_codeunits(pc.fill_null(text, ""), 0, _SHOWN_CHARACTERS))
    shown = _STAND_INS[cut.data]
    bounds = np.append(0, np.cumsum(shown != _DROPPED))[np.append(cut.starts, len(cut.data) - PAD)]
    values = pa.StringArray.from_buffers(
        len(text), pa.py_buffer(bounds.astype(np.int32)), pa.py_buffer(shown[shown != _DROPPED])
    )
    longer = pc.greater(pc.utf8_length(text), _SHOWN_CHARACTERS)
    return pc.if_else(longer, pc.binary_join_element_wise(values, "…", ""), values)
