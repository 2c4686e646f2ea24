"""Which layouts can fit a source at all, by an outline of each: what its columns are called, or how many there are.

The outlines of the built-in layouts are in `layouts/index.json`, which scripts/layout_index.py makes.  They are what
a layout must have to be chosen, not all of it: whoever passes is judged as ever (`detect.recognition`), and who does
not pass could not have been chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from trunkline.layout.header_match import aliases_of, fold_name
from trunkline.layout.header_search import MOST_LINES

if TYPE_CHECKING:
    from trunkline.detect.first_rows import Row
    from trunkline.layout.model import Layout

Outline = Mapping[str, Any]
"""
``dialect`` as in the layout, and ``names``: of each required column all names that it may have, as `fold_name` leaves
them.  Where columns go by position instead ``least`` and ``most``: how many there are, None for any number.
"""


def outline_of(layout: Layout) -> Outline:
    """Return what a source must have for *layout* to be chosen, as JSON can hold it."""
    dialect = layout.dialect.model_dump(exclude_none=True)
    if layout.dialect.header is False:
        least, most = least_and_most(layout)
        return {"dialect": dialect, "least": least, "most": None if layout.extra == "keep" else most}
    aliases = aliases_of(layout)
    required = dict.fromkeys(
        column
        for field in layout.fields
        if field.required
        for column in field.all_columns_read
        if isinstance(column, str)
    )
    names = [sorted({fold_name(name) for name in (column, *aliases.get(column, ()))}) for column in required]
    return {"dialect": dialect, "names": names}


def may_fit(outline: Outline, rows: Sequence[Row]) -> bool:
    """
    Return whether the layout of *outline* can be that of a source; if not, it is sure.

    Args:
        rows: The first records of the source, read in the dialect of the outline.
    """
    if "names" in outline:
        return any(_has_all(outline["names"], row) for row in rows[: MOST_LINES + 1])
    most = outline["most"]
    return any(outline["least"] <= len(row) and (most is None or len(row) <= most) for row in rows)


def least_and_most(layout: Layout) -> tuple[int, int]:
    """Return how many columns a record of a layout by positions must have, and how many it may have."""
    read = max(column for field in layout.fields for column in field.all_columns_read if isinstance(column, int))
    required = (
        column for field in layout.fields if field.required for column in field.columns_read if isinstance(column, int)
    )
    return max(required, default=1), layout.most_columns or read


def _has_all(names: Sequence[Sequence[str]], row: Row) -> bool:
    found = _folded(row)
    return all(not found.isdisjoint(each) for each in names)


@lru_cache(maxsize=256)  # the first rows of a source in a few dialects: each outline asks for them
def _folded(row: Row) -> frozenset[str]:
    return frozenset(map(fold_name, row))
