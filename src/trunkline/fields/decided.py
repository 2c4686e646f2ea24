"""Canonical names that another field decides: a call with an answer time was answered, whatever ended it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trunkline.fields.parsed import Fault, Parsed
from trunkline.fields.text_bytes import Mask, mask_of


def decide(mapped: Parsed, when: Mapping[str, str], columns: Mapping[str, pa.Array]) -> Parsed:
    """
    Return a mapped text with the names that other fields give it; the text as written stays.

    Args:
        mapped: Canonical name and raw text.
        when: A field's name to the canonical name of records that have a value there; the first one counts.
        columns: The typed columns of these fields.
    """
    canonical, *others = mapped.columns
    decided = np.zeros(len(canonical), dtype=np.bool_)
    for field, name in when.items():
        here = _has_value(columns[field]) & ~decided
        canonical = pc.if_else(pa.array(here), name, canonical)
        decided |= here
    faults = tuple(Fault(code=one.code, rows=one.rows & ~decided, expected=one.expected) for one in mapped.faults)
    return Parsed(columns=(canonical, *others), faults=faults)


def _has_value(column: pa.Array) -> Mask:
    """Return which rows say something other than 0."""
    there: Mask = column.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_integer(column.type) or pa.types.is_decimal(column.type):
        there = there & mask_of(pc.not_equal(column, 0))
    return there
