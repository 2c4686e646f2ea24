"""Columns of text to one JSON object per record, for what a layout does not know but keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc


def json_objects(names: Sequence[str], columns: Sequence[pa.StringArray], *, rows: int) -> pa.StringArray:
    """
    Return ``{"name": "text", ...}`` for every record.

    Args:
        names: Keys; one that comes again is numbered (``note``, ``note_2``), as jsonb keeps only the last of
            equal keys.
        columns: Texts, no nulls, one column for each name.
        rows: Number of records, for no columns at all.

    Source: which characters must be escaped, RFC 8259 section 7.
    """
    if not names:
        return pa.repeat(pa.scalar("{}"), rows)
    parts: list[pa.StringArray | str] = []
    for number, (name, column) in enumerate(zip(_distinct(names), columns, strict=True)):
        parts += [f'{", " if number else "{"}{json.dumps(name, ensure_ascii=False)}: "', _escaped(column)]
        parts.append('"')
    return pc.binary_join_element_wise(*parts, "}", "")


def _distinct(names: Sequence[str]) -> list[str]:
    taken: dict[str, None] = {}
    for name in names:
        free, number = name, 1
        while free in taken:
            number += 1
            free = f"{name}_{number}"
        taken[free] = None
    return list(taken)


def _escaped(text: pa.StringArray) -> pa.StringArray:
    text = pc.replace_substring(pc.replace_substring(text, "\\", "\\\\"), '"', '\\"')
    if not pc.any(pc.match_substring_regex(text, r"[\x00-\x1f]")).as_py():
        return text
    for code in range(0x20):
        text = pc.replace_substring(text, chr(code), f"\\u{code:04x}")
    return text
