"""Which CSV column each field of a layout is read from, what is missing, and what the layout does not know."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from trunkline.errors import RefusedError

if TYPE_CHECKING:
    from trunkline.layout.fields import ColumnRef
    from trunkline.layout.model import Layout

_SHOWN = 20  # names that a message lists
# A name has a letter, and neither four digits nearly in a row nor what amounts and addresses have.
_NAME: Final = re.compile(r"(?=.*[^\W\d_])(?!.*(?:\d\D?){4})(?!.*[@$€£]).*", re.DOTALL)
_INVISIBLE: Final = "\ufeff\u200b\u2060"  # byte order mark, and what else has no width: no blanks to str.strip()

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
            rule), or all are, as where a record is taken for the header; or a name that the layout reads is there
            twice or in two writings, or there is a column that it does not know and it says ``extra = "refuse"``.
    """
    if layout.refuse is not None:
        raise RefusedError(
            f"is {layout.name!r}: {layout.refuse}", hint="'trunkline inspect' says how it was recognised"
        )
    if not header:
        return {}  # a source of no bytes has no columns, and no records either
    unclear = _unclear(header, layout)
    if unclear:
        raise RefusedError(
            f"found columns {_list([repr(name) for name in unclear])}, expected one of them only: letter case and "
            "blanks apart they are one name",
            hint="a layout of your own can name a column exactly, or by its position",
        )
    places = places_of(header, layout)
    missing = [column for column in needed_columns(layout) if column not in places]
    missing = missing or ([] if places else list(dict.fromkeys(_read(layout))))
    if missing:
        raise RefusedError(
            f"found {_told(header)}, expected also {_list(missing)} for layout {layout.name!r}",
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


def left_out(header: Sequence[str], layout: Layout) -> tuple[str, ...]:
    """Return the columns that are not loaded: those that the layout does not know, unless it keeps them."""
    return unknown_columns(header, layout) if layout.extra == "report" else ()


def unknown_columns(header: Sequence[str], layout: Layout) -> tuple[str, ...]:
    """Return the names of the columns that no field or rule of the layout reads, in the order of the file."""
    return tuple(header[place] for place in unknown_places(header, layout))


def unknown_places(header: Sequence[str], layout: Layout) -> tuple[int, ...]:
    """Return where they are, from 0."""
    known = set(places_of(header, layout).values())
    return tuple(place for place in range(len(header)) if place not in known)


def places_of(header: Sequence[str], layout: Layout) -> Places:
    """
    Return where the columns are that the layout reads, without those that the CSV does not have.

    A name is looked for exactly first, then among the columns that nobody has named exactly in other letter case or
    with blanks around it, where only one column can be meant.
    """
    found = _exact_places(header, layout)
    for column, places in _alike_places(header, layout, found).items():
        if len(places) == 1:
            found[column] = places[0]
    return found


def written_otherwise(header: Sequence[str], layout: Layout) -> tuple[tuple[str, str], ...]:
    """Return the columns found in other letter case or with blanks around: as the header has it, as the layout does."""
    found = _alike_places(header, layout, _exact_places(header, layout))
    pairs = ((header[places[0]], str(column)) for column, places in found.items() if len(places) == 1)
    return tuple(dict.fromkeys(pairs))


def header_warnings(header: Sequence[str], layout: Layout) -> list[str]:
    """Return what is doubtful about a header that `match_header` accepts, a line each."""
    warnings = []
    otherwise = written_otherwise(header, layout)
    if otherwise:
        told = ", ".join(f"{found!r} as {wanted}" for found, wanted in otherwise[:_SHOWN])
        warnings.append(f"read the columns {told}: letter case and blanks apart they are the layout's")
    return warnings


def fold_name(name: str) -> str:
    """
    Return a column's name without blanks and invisible characters around it, and without letter case.

    >>> fold_name("\ufeff Call_Date\u00a0")
    'call_date'
    """
    bare = name
    while bare != (bare := bare.strip().strip(_INVISIBLE)):
        pass
    return bare.casefold()


def _told(header: Sequence[str]) -> str:
    """Return what to say of a header that does not fit: its names, unless they may be the values of a record."""
    if all(not name or _NAME.fullmatch(name) for name in header):
        return f"columns {_list(header)}"
    return f"{len(header)} columns whose names look like values"


def _exact_places(header: Sequence[str], layout: Layout) -> dict[ColumnRef, int]:
    aliases = aliases_of(layout)
    found = {}
    for column in _read(layout):
        place = _place(column, header, layout, aliases.get(column, ()))
        if place is not None:
            found[column] = place
    return found


def _alike_places(
    header: Sequence[str], layout: Layout, exact: Mapping[ColumnRef, int]
) -> dict[ColumnRef, tuple[int, ...]]:
    """Return where columns that are not there exactly may be; nothing for names that the layout itself has in two."""
    missing = [column for column in dict.fromkeys(_read(layout)) if isinstance(column, str) and column not in exact]
    if not missing:
        return {}
    aliases = aliases_of(layout)
    wanted = Counter(
        folded
        for column in dict.fromkeys(_read(layout))
        if isinstance(column, str)
        for folded in _folded((column, *aliases.get(column, ())))
    )
    taken = set(exact.values())
    free: dict[str, list[int]] = {}
    for place, name in enumerate(header):
        if place not in taken:
            free.setdefault(fold_name(name), []).append(place)
    found: dict[ColumnRef, tuple[int, ...]] = {}
    for column in missing:
        names = _folded((column, *aliases.get(column, ())))
        places = next((free[name] for name in names if name in free and wanted[name] == 1), None)
        if places is not None:
            found[column] = tuple(places)
    return found


def _unclear(header: Sequence[str], layout: Layout) -> list[str]:
    """Return the names of columns of which several could be the one that the layout reads."""
    alike = _alike_places(header, layout, _exact_places(header, layout)).values()
    return [header[place] for places in alike if len(places) > 1 for place in places]


def _folded(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(fold_name(name) for name in names))


def aliases_of(layout: Layout) -> dict[ColumnRef, tuple[str, ...]]:
    """Return the columns that may have other names in the header, with these."""
    return {column: names for field in layout.fields for column, names in field.names_of.items()}


def _read(layout: Layout) -> list[ColumnRef]:
    """Return every column that the layout reads, in its order."""
    return [column for field in layout.fields for column in field.all_columns_read] + _ruled(layout)


def needed_columns(layout: Layout) -> list[ColumnRef]:
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
