"""Which layout is this?  By the names in the header, the number of columns, and the shapes of the first values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from trunkline.detect.first_rows import Row, read_first_rows
from trunkline.detect.shapes import fits
from trunkline.errors import LayoutError, RefusedError
from trunkline.layout.fields import AnyField, ColumnRef
from trunkline.layout.files import builtin_layouts
from trunkline.layout.model import Layout

ENOUGH: Final = 0.6
"""The least confidence that a layout is chosen with."""

_LEAD: Final = 0.1  # how far the best must be ahead of the next
_SHOWN: Final = 3  # candidates that a message names
_HINT: Final = "pass --layout NAME, or write one with 'trunkline inspect FILE'"


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """
    How well a layout fits.

    Attributes:
        layout: The layout.
        confidence: 0 (cannot be) to 1.
        reasons: What speaks for and against it, for people; no values of the source.
    """

    layout: Layout
    confidence: float
    reasons: tuple[str, ...]


Choice = Candidate
"""The one candidate that fits."""


def layout_of(sample: bytes) -> Layout:
    """
    Return the built-in layout of a source.

    Args:
        sample: The first bytes of the decompressed source.

    Raises:
        LayoutError: If none fits, or several fit alike.
        RefusedError: If there is nothing to recognise it by.
        SourceError: If the sample is no text.
    """
    if not sample.strip():
        raise RefusedError("is empty, expected at least one record")
    return chosen(rank_layouts(sample, builtin_layouts())).layout


def choose_layout(rows: Sequence[Sequence[str]], layouts: Sequence[Layout]) -> Choice:
    """
    Return the layout that first records fit, all read in one dialect.

    Args:
        rows: Fields of the first records, with the header line if there is one.
        layouts: What to choose from.

    Raises:
        LayoutError: If none fits, or several fit alike; it names the candidates.
    """
    first = tuple(tuple(row) for row in rows)
    return chosen(_ranked(judge_layout(layout, first) for layout in layouts))


def rank_layouts(sample: bytes, layouts: Sequence[Layout]) -> list[Candidate]:
    """
    Return how well each layout fits a source, the best first.  Each reads the sample in its own dialect.

    Raises:
        SourceError: If the sample is no text.
    """
    return _ranked(judge_layout(layout, read_first_rows(sample, layout.dialect).rows) for layout in layouts)


def chosen(ranked: Sequence[Candidate]) -> Choice:
    """
    Return the best candidate, if it fits and no other fits as well.

    Raises:
        LayoutError: Otherwise.
    """
    fitting = [candidate for candidate in ranked if candidate.confidence >= ENOUGH]
    if not fitting:
        closest = ranked[0] if ranked and ranked[0].confidence > 0 else None
        near = f"; closest is {closest.layout.name} ({'; '.join(closest.reasons)})" if closest else ""
        raise LayoutError(f"no layout fits{near}", hint=_HINT)
    alike = [other for other in fitting if fitting[0].confidence - other.confidence < _LEAD]
    if len(alike) > 1:
        names = ", ".join(candidate.layout.name for candidate in alike[:_SHOWN])
        raise LayoutError(f"the layouts {names} fit alike", hint=_HINT)
    return fitting[0]


def judge_layout(layout: Layout, rows: Sequence[Row]) -> Candidate:
    """Return how well *layout* fits first records, which begin with its header if it has one."""
    if not rows:
        return Candidate(layout=layout, confidence=0, reasons=("there are no records",))
    if layout.dialect.header is False:
        return _judge_positions(layout, rows)
    return _judge_names(layout, rows)


def _ranked(candidates: Iterator[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda each: (-each.confidence, each.layout.name))


def _judge_names(layout: Layout, rows: Sequence[Row]) -> Candidate:
    header, *behind = rows
    wanted = list(dict.fromkeys(column for field in layout.fields for column in field.all_columns_read))
    found = [column for column in wanted if _place(column, header) is not None]
    missing = sorted(
        str(column)
        for field in layout.fields
        if field.required
        for column in field.all_columns_read
        if _place(column, header) is None
    )
    reasons = [f"{len(found)} of its {len(wanted)} columns are in the header"]
    if missing:
        reasons.append(f"missing: {', '.join(missing)}")
        return Candidate(layout=layout, confidence=0.5 * len(found) / len(wanted), reasons=tuple(reasons))
    unknown = len(header) - len(found)
    if unknown:
        reasons.append(f"{unknown} columns are not known to it")
    share, told = _fitting(layout, header, behind[(layout.dialect.header_lines or 1) - 1 :])
    reasons += told
    known = len(found) / len(header)
    # A header that fits weighs more than values that do not: those are rejects, each with its reason.
    return Candidate(
        layout=layout,
        confidence=round((0.7 * len(found) / len(wanted) + 0.3 * known) * (0.7 + 0.3 * share), 3),
        reasons=tuple(reasons),
    )


def _judge_positions(layout: Layout, rows: Sequence[Row]) -> Candidate:
    width = max(column for field in layout.fields for column in field.all_columns_read if isinstance(column, int))
    needed = max(
        (
            column
            for field in layout.fields
            if field.required
            for column in field.columns_read
            if isinstance(column, int)
        ),
        default=1,
    )
    there = [row for row in rows if needed <= len(row) <= width]
    if not there:
        reason = f"it has {needed} to {width} columns, the first records have {len(rows[0])}"
        return Candidate(layout=layout, confidence=0, reasons=(reason,))
    share, told = _fitting(layout, (), there)
    reasons = (f"{len(there)} of {len(rows)} records have {needed} to {width} columns", *told)
    return Candidate(layout=layout, confidence=round(len(there) / len(rows) * share, 3), reasons=reasons)


def _fitting(layout: Layout, header: Row, rows: Sequence[Row]) -> tuple[float, list[str]]:
    """Return the share of records all of whose values look right, and which fields do not; no records: 1."""
    if not rows:
        return 1.0, []
    bad = dict.fromkeys((field.name for field in layout.fields), 0)
    good = 0
    for row in rows:
        wrong = [field.name for field in layout.fields if not _looks_right(layout, field, header, row)]
        good += not wrong
        for name in wrong:
            bad[name] += 1
    told = [f"{name} looks wrong in {count} of {len(rows)} records" for name, count in bad.items() if count]
    return good / len(rows), told


def _looks_right(layout: Layout, field: AnyField, header: Row, row: Row) -> bool:
    texts = [_text(column, header, row) for column in field.columns_read]
    nulls = layout.nulls_of(field)
    if all(text is None or text in nulls for text in texts):
        return not field.required
    return fits(field, field.join.join(text or "" for text in texts))


def _text(column: ColumnRef, header: Row, row: Row) -> str | None:
    place = _place(column, header) if header else (column - 1 if isinstance(column, int) else None)
    return None if place is None or place >= len(row) else row[place]


def _place(column: ColumnRef, header: Row) -> int | None:
    if isinstance(column, int):
        return column - 1 if column <= len(header) else None
    return header.index(column) if column in header else None
