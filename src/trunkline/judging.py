"""From the faults of fields to rejects: the first field that fails decides, with a message that holds no value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trunkline.blocks import REJECT_SCHEMA, Lines
from trunkline.parsed import Fault
from trunkline.text_bytes import Ints, Mask

NO_REJECTS = pa.RecordBatch.from_pylist([], schema=REJECT_SCHEMA)

_SHOWN_CHARACTERS = 40
_SHAPES = (
    (r"\p{Lu}", "A"),
    (r"[\p{Ll}\p{Lt}\p{Lm}\p{Lo}]", "a"),
    (r"\p{M}", ""),
    (r"\p{N}", "9"),
    (r"\p{C}", "?"),
)


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
    """
    for pattern, stand_in in _SHAPES:
        text = pc.replace_substring_regex(text, pattern, stand_in)
    cut = pc.utf8_slice_codeunits(text, 0, _SHOWN_CHARACTERS)
    return pc.if_else(
        pc.greater(pc.utf8_length(text), _SHOWN_CHARACTERS), pc.binary_join_element_wise(cut, "…", ""), cut
    )
