"""Which CSV column each field of a layout is read from, what is missing, and what the layout does not know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trunkline.errors import RefusedError

if TYPE_CHECKING:
    from trunkline.layout.fields import ColumnRef
    from trunkline.layout.model import Layout

_SHOWN = 20  # names that a message lists

Places = Mapping["ColumnRef", int]
"""Columns that a layout reads to their places in the CSV, from 0; without those that the CSV does not have."""


def match_header(header: Sequence[str], layout: Layout) -> Places:
    """
    Return where the columns are that the layout reads.

    Args:
        header: Names of the CSV's columns in the order of the file, "1" to "n" without a header line.
        layout: Names the columns, or their positions.

    Raises:
        RefusedError: If a column is missing without which no record can be read (of a required field, of a skip
            rule), or a name that the layout reads is there twice, or there is a column that it does not know
            and it says ``extra = "refuse"``.
    """
    if layout.refuse is not None:
        raise RefusedError(
            f"is {layout.name!r}: {layout.refuse}", hint="'trunkline inspect' says how it was recognised"
        )
    if not header:
        return {}  # a source of no bytes has no columns, and no records either
    places = places_of(header, layout)
    missing = [column for column in _needed(layout) if column not in places]
    if missing:
        raise RefusedError(
            f"found columns {_list(header)}, expected also {_list(missing)} for layout {layout.name!r}",
            hint="'trunkline inspect' says which layout fits",
        )
    counts = Counter(header)
    twice = [name for column in places if isinstance(column, str) and counts[name := header[places[column]]] > 1]
    if twice:
        raise RefusedError(
            f"found column {_list(twice)} more than once, expected it once",
            hint="a layout of your own can name a column by its position",
        )
    unknown = unknown_columns(header, layout)
    if unknown and layout.extra == "refuse":
        raise RefusedError(
            f"found columns {_list(unknown)}, which layout {layout.name!r} does not know and refuses",
            hint='add them to the layout as fields, or set extra = "report"',
        )
    return places


def unknown_columns(header: Sequence[str], layout: Layout) -> tuple[str, ...]:
    """Return the names of the columns that no field or rule of the layout reads, in the order of the file."""
    return tuple(header[place] for place in unknown_places(header, layout))


def unknown_places(header: Sequence[str], layout: Layout) -> tuple[int, ...]:
    """Return where they are, from 0."""
    known = set(places_of(header, layout).values())
    return tuple(place for place in range(len(header)) if place not in known)


def places_of(header: Sequence[str], layout: Layout) -> Places:
    """Return where the columns are that the layout reads, without those that the CSV does not have."""
    aliases = {column: names for field in layout.fields for column, names in field.names_of.items()}
    found = {}
    for column in _read(layout):
        place = _place(column, header, layout, aliases.get(column, ()))
        if place is not None:
            found[column] = place
    return found


def _read(layout: Layout) -> list[ColumnRef]:
    """Return every column that the layout reads, in its order."""
    return [column for field in layout.fields for column in field.all_columns_read] + _ruled(layout)


def _needed(layout: Layout) -> list[ColumnRef]:
    """Return the columns without which no record could be loaded, or told from what is no call."""
    required = (field for field in layout.fields if field.required)
    return [column for field in required for column in field.all_columns_read] + _ruled(layout)


def _ruled(layout: Layout) -> list[ColumnRef]:
    return [rule.column for rule in layout.skip]


def _place(column: ColumnRef, header: Sequence[str], layout: Layout, aliases: Sequence[str]) -> int | None:
    if isinstance(column, int):
        return layout.place_of(column, len(header)) - 1 if layout.place_of(column, len(header)) else None
    name = next((each for each in (column, *aliases) if each in header), None)
    return None if name is None else header.index(name)


def _list(columns: Sequence[ColumnRef]) -> str:
    shown = ", ".join(map(str, columns[:_SHOWN]))
    return shown if len(columns) <= _SHOWN else f"{shown} and {len(columns) - _SHOWN} more"
