"""Where the header of a source is: behind a title and the like, if a layout knows its names.  No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from trunkline.framing.dialect import ResolvedDialect, resolve_dialect, sample_lines
from trunkline.framing.records import Damage, split_record
from trunkline.layout.header_match import needed_columns, places_of

if TYPE_CHECKING:
    from trunkline.layout.model import Layout

MOST_LINES: Final = 20
"""How many may stand before a header that is searched for."""


def dialect_of(sample: bytes, layout: Layout) -> ResolvedDialect:
    """
    Return the dialect of a source that is read with *layout*, with the lines to skip before its header.

    Args:
        sample: The first bytes of the decompressed source, as `resolve_dialect` takes them.
        layout: Where it states ``skip_lines``, or columns by position only, no header is searched for.

    Raises:
        LayoutError: If the stated dialect cannot be one.
        SourceError: If the sample is not text in any supported encoding.
    """
    found = resolve_dialect(sample, layout.dialect)
    if not found.header or layout.dialect.skip_lines is not None:
        return found
    rows = [_fields(line, found) for line in sample_lines(sample, found.encoding)[: MOST_LINES + 1]]
    return replace(found, skip_lines=header_row(rows, layout))


def header_row(rows: Sequence[Sequence[str]], layout: Layout) -> int:
    """
    Return which of the first rows of a source is its header: 0 unless the layout's names are further down.

    A row is the header if it has all columns without which no record can be read, and at least half of all that the
    layout names.  Each row before it must have less than half as many values, so that no record is passed over.
    """
    read = [column for field in layout.fields for column in field.all_columns_read if isinstance(column, str)]
    known = {*read, *(name for field in layout.fields for names in field.names_of.values() for name in names)}
    needed = [column for column in needed_columns(layout) if isinstance(column, str)]
    for at, row in enumerate(rows[: MOST_LINES + 1]):
        if known.isdisjoint(row):
            continue
        places = places_of(row, layout)
        if all(column in places for column in needed) and 2 * len(places.keys() & read) >= len(set(read)):
            return at if all(2 * _values(before) < _values(row) for before in rows[:at]) else 0
    return 0


def lines_left_out(skip_lines: int, layout: Layout) -> str | None:
    """Return what to say where *skip_lines* before the header are left out and the layout does not state it."""
    if not skip_lines or layout.dialect.skip_lines is not None:
        return None
    lines = "1 line before the header, which is no record" if skip_lines == 1 else ""
    lines = lines or f"{skip_lines} lines before the header, which are no records"
    return f"left out {lines}; dialect.skip_lines in the layout states how many there are"


def _fields(line: bytes, dialect: ResolvedDialect) -> list[str]:
    split = split_record(line, dialect)
    fields = line.split(dialect.delimiter.encode()) if isinstance(split, Damage) else split
    return [field.decode("utf-8", "replace") for field in fields]


def _values(row: Sequence[str]) -> int:
    return sum(1 for text in row if text.strip())
