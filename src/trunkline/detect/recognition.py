"""Which layout is this?  By the names in the header, the number of columns, and the shapes of the first values."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from trunkline.detect.first_rows import Row, read_first_rows
from trunkline.detect.preselection import least_and_most, may_fit
from trunkline.detect.shapes import fits
from trunkline.errors import LayoutError, RefusedError
from trunkline.layout.fields import AnyField, ColumnRef
from trunkline.layout.files import builtin_layout, builtin_layouts, layout_index
from trunkline.layout.header_match import Places, places_of, written_otherwise
from trunkline.layout.header_search import header_row
from trunkline.layout.model import Dialect, Layout

ENOUGH: Final = 0.6
"""The least confidence that a layout is chosen with."""

_LEAD: Final = 0.1  # how far the best must be ahead of the next
_SHOWN: Final = 3  # candidates that a message names
_TOLD: Final = 5  # fields whose values look wrong
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

FirstOf = dict[Dialect, Sequence[Row]]
"""The first records of one sample, by the dialect they were read in: most layouts leave it open, and finding it out is
what takes the time."""


def layout_of(sample: bytes, encoding: str | None = None) -> Layout:
    """
    Return the built-in layout of a source.

    Args:
        sample: The first bytes of the decompressed source.
        encoding: Of a source without a byte order mark, where the user says so.

    Raises:
        LayoutError: If none fits, or several fit alike.
        RefusedError: If there is nothing to recognise it by, or it is of a kind that holds no calls.
        SourceError: If the sample is no text.
    """
    if not sample.strip():
        raise RefusedError("is empty, expected at least one record")
    rows: FirstOf = {}
    ranked = rank_layouts(sample, read_in(encoding, _that_may_fit(sample, encoding, rows)), rows, least=ENOUGH)
    if not any(candidate.confidence >= ENOUGH for candidate in ranked):  # then a message names the closest of all
        ranked = rank_layouts(sample, read_in(encoding, builtin_layouts()), rows)
    layout = chosen(ranked).layout
    if layout.refuse is not None:
        raise RefusedError(f"is {layout.name!r}: {layout.refuse}")
    return layout


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


def read_in(encoding: str | None, layouts: Sequence[Layout]) -> list[Layout]:
    """Return the layouts with the encoding that the user states, if any, in place of their own."""
    return [layout.with_overrides(encoding=encoding) for layout in layouts]


def rank_layouts(
    sample: bytes, layouts: Sequence[Layout], rows: FirstOf | None = None, *, least: float = 0
) -> list[Candidate]:
    """
    Return how well each layout fits a source, the best first.  Each reads the sample in its own dialect.

    Args:
        rows: What was read of the sample already; what is read now is added.
        least: See `judge_layout`.

    Raises:
        SourceError: If the sample is no text.
    """
    first: FirstOf = {} if rows is None else rows
    return _ranked(judge_layout(layout, _rows_in(layout.dialect, sample, first), least=least) for layout in layouts)


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


def judge_layout(layout: Layout, rows: Sequence[Row], *, least: float = 0) -> Candidate:
    """
    Return how well *layout* fits first records, which begin with its header if it has one.

    Args:
        layout: The layout.
        rows: Fields of the first records.
        least: A layout that cannot reach this confidence is not judged to the end: it has some confidence below this
            one, and not all reasons.
    """
    if not rows:
        return Candidate(layout=layout, confidence=0, reasons=("there are no records",))
    if layout.dialect.header is False:
        return _judge_positions(layout, rows, least)
    return _judge_names(layout, rows)


def _that_may_fit(sample: bytes, encoding: str | None, rows: FirstOf) -> list[Layout]:
    """Return the built-in layouts that can reach `ENOUGH`, and maybe others; the index saves reading the rest."""
    names = []
    for name, outline in layout_index().items():
        dialect = Dialect.model_validate(outline["dialect"])
        if encoding is not None:
            dialect = dialect.with_encoding(encoding)
        if may_fit(outline, _rows_in(dialect, sample, rows)):
            names.append(name)
    return [builtin_layout(name) for name in names]


def _rows_in(dialect: Dialect, sample: bytes, rows: FirstOf) -> Sequence[Row]:
    if dialect not in rows:
        rows[dialect] = read_first_rows(sample, dialect).rows
    return rows[dialect]


def _ranked(candidates: Iterator[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda each: (-each.confidence, each.layout.name))


def _judge_names(layout: Layout, rows: Sequence[Row]) -> Candidate:
    header, *behind = rows[header_row(rows, layout) :]
    places = places_of(header, layout)
    wanted = list(dict.fromkeys(column for field in layout.fields for column in field.all_columns_read))
    found = [column for column in wanted if column in places]
    missing = sorted(
        str(column)
        for field in layout.fields
        if field.required
        for column in field.all_columns_read
        if column not in places
    )
    reasons = [f"{len(found)} of its {len(wanted)} columns are in the header"]
    if missing:
        reasons.append(f"missing: {', '.join(missing)}")
        return Candidate(layout=layout, confidence=0.5 * len(found) / len(wanted), reasons=tuple(reasons))
    otherwise = written_otherwise(header, layout)
    if otherwise:
        reasons.append(f"{len(otherwise)} of them in other letter case or with blanks around")
    unknown = len(header) - len(found)
    if unknown:
        reasons.append(f"{unknown} columns are not known to it")
    share, told = _fitting(
        layout, [(places, row) for row in behind[(layout.dialect.header_lines or 1) - 1 :] if row != header]
    )
    reasons += told
    known = len(found) / len(header)
    # A header that fits weighs more than values that do not: those are rejects, each with its reason.
    return Candidate(
        layout=layout,
        confidence=round((0.7 * len(found) / len(wanted) + 0.3 * known) * (0.7 + 0.3 * share), 3),
        reasons=tuple(reasons),
    )


def _judge_positions(layout: Layout, rows: Sequence[Row], least: float) -> Candidate:
    needed, most = least_and_most(layout)
    wide = f"{needed} or more" if layout.extra == "keep" else f"{needed} to {most}" if needed < most else f"{most}"
    there = [row for row in rows if needed <= len(row) and (len(row) <= most or layout.extra == "keep")]
    if not there:
        reason = f"it has {wide} columns, the first records have {len(rows[0])}"
        return Candidate(layout=layout, confidence=0, reasons=(reason,))
    places = {width: places_of([""] * width, layout) for width in {len(row) for row in there}}
    if all(_is_no_call(layout, places[len(row)], row) for row in there):
        return Candidate(layout=layout, confidence=0, reasons=("none of the first records is a call by its rules",))
    if layout.extends is not None and _has_header(rows):
        reason = f"the first line is a header, as {layout.extends} has one"
        return Candidate(layout=layout, confidence=0, reasons=(reason,))
    share, told = _fitting(layout, [(places[len(row)], row) for row in there], least=least)
    reasons = (f"{len(there)} of {len(rows)} records have {wide} columns", *told)
    return Candidate(layout=layout, confidence=round(len(there) / len(rows) * share, 3), reasons=reasons)


def _has_header(rows: Sequence[Row]) -> bool:
    from trunkline.detect.proposal import has_header  # and all that proposes layouts: only where columns may fit

    return has_header(rows)


def _fitting(layout: Layout, rows: Sequence[tuple[Places, Row]], *, least: float = 0) -> tuple[float, list[str]]:
    """
    Return the share of records all of whose values look right, and which fields do not; no records: 1.

    Once it is below *least* no further field is looked at.
    """
    calls = [(places, row) for places, row in rows if not _is_skipped(layout, places, row)]
    if not calls:
        return 1.0, []
    told, bad, share = [], set[int](), 1.0
    for field in layout.fields:
        if share < least:
            break
        if wrong := _looking_wrong(layout, field, calls):
            told.append(f"{field.name} looks wrong in {len(wrong)} of {len(calls)} records")
            bad |= wrong
            share = (len(calls) - len(bad)) / len(calls)
    more = [f"and so do {len(told) - _TOLD} more fields"] if len(told) > _TOLD else []
    return share, [*told[:_TOLD], *more]


def _is_no_call(layout: Layout, places: Places, row: Row) -> bool:
    """Return whether a record lacks what a call of the layout must say, which is no sign of the layout either."""
    rules = (rule for rule in layout.skip if rule.not_in is not None)
    return any(_text(rule.column, places, row) not in (rule.not_in or ()) for rule in rules)


def _is_skipped(layout: Layout, places: Places, row: Row) -> bool:
    """Return whether the layout says that a record is no call."""
    for rule in layout.skip:
        text = _text(rule.column, places, row)
        if rule.is_in is not None and text in rule.is_in:
            return True
        if rule.not_in is not None and text not in rule.not_in:
            return True
    return False


def _looking_wrong(layout: Layout, field: AnyField, calls: Sequence[tuple[Places, Row]]) -> set[int]:
    """Return which of some records have a value in a field that does not look like one."""
    nulls = layout.nulls_of(field)
    by_column = [[_text(column, places, row) for places, row in calls] for column in field.columns_read]
    values = list(zip(*by_column, strict=True))
    looks_right = {texts: _looks_right(field, texts, nulls) for texts in set(values)}  # many values come again
    return {number for number, texts in enumerate(values) if not looks_right[texts]}


def _looks_right(field: AnyField, texts: Sequence[str | None], nulls: Container[str]) -> bool:
    if field.trim:
        texts = [None if text is None else text.strip(" \t") for text in texts]
    if all(text is None or text in nulls for text in texts):
        return not field.required
    return fits(field, field.join.join(text or "" for text in texts))


def _text(column: ColumnRef, places: Places, row: Row) -> str | None:
    place = places.get(column)
    return None if place is None or place >= len(row) else row[place]
