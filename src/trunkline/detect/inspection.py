"""A first look at a source: which layout it is and why, and what its first records become.  Loads nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trunkline.detect.first_rows import read_first_rows
from trunkline.detect.proposal import propose_layout
from trunkline.detect.recognition import chosen, judge_layout, rank_layouts, read_in
from trunkline.errors import LayoutError, RefusedError, TrunklineError
from trunkline.framing.dialect import SAMPLE_BYTES, ends_with_cr_only, resolve_dialect
from trunkline.layout.files import builtin_layouts, load_layout
from trunkline.layout.header_search import dialect_of
from trunkline.layout.model import Dialect
from trunkline.sources.source import open_source

if TYPE_CHECKING:
    import pandas as pd

    from trunkline.clock_proof import Judgement
    from trunkline.detect.recognition import Candidate
    from trunkline.framing.dialect import ResolvedDialect
    from trunkline.layout.files import Layout
    from trunkline.settings.resolution import Settings

_NOT_SHOWN = "record_key"  # 16 bytes that say nothing to people


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstCalls:
    """
    What the first records of a source become.

    Attributes:
        calls: The first of them by column, each with its ``source_line``.
        rejects: The first of them: source_line, field, code and message.
        typed: How many of the sample's records are calls.
        rejected_by: How many are not, by reject code.
        clocks: What second clocks in the sample's records say about the zone, by the field that they check.
        warnings: What a run would warn of, or refuse the source for: names of columns, traces of a spreadsheet.
    """

    calls: list[dict[str, Any]]
    rejects: list[dict[str, Any]]
    typed: int
    rejected_by: dict[str, int]
    clocks: dict[str, Judgement]
    warnings: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """
    What a first look found.

    Attributes:
        source: Its name, without credentials.
        dialect: How its lines are read: by the layout, or as they look where none fits.
        candidates: How well each layout fits, the best first; only the one that was named, if one was.
        layout: The one that is in force, with overrides; None where none fits.
        reason: Why there is no layout, or no first calls.
        first: None where there is no layout, or it cannot read the source.
    """

    source: str
    dialect: ResolvedDialect
    candidates: tuple[Candidate, ...]
    layout: Layout | None
    reason: str | None
    first: FirstCalls | None


def inspect_source(name: str, settings: Settings, *, rows: int) -> Inspection:
    """
    Look at the first 64 KiB of a source.

    Args:
        name: Path, URL or ``-``.
        settings: The layout and overrides, if the user states any.
        rows: How many calls, and how many rejects, to return at most.

    Raises:
        SourceError: If the source cannot be read.
        LayoutError: If the layout that is named cannot be used.
    """
    with open_source(name) as source:
        sample = source.sample()
        candidates, layout, reason = _recognise(sample, settings)
        first = None
        if layout is not None:
            try:
                first = _first_calls(sample, layout, rows)
            except TrunklineError as error:
                reason = str(error)
        return Inspection(
            source=source.name,
            dialect=(
                dialect_of(sample, layout) if layout else resolve_dialect(sample, Dialect(encoding=settings.encoding))
            ),
            candidates=candidates,
            layout=layout,
            reason=reason,
            first=first,
        )


def propose_for(name: str, settings: Settings, *, layout_name: str) -> str:
    """
    Return the TOML of a layout for a source, to be edited.

    Raises:
        SourceError: If the source cannot be read.
        LayoutError: If it has no records.
    """
    with open_source(name) as source:
        first = read_first_rows(source.sample(), Dialect(encoding=settings.encoding))
    return propose_layout(first, name=layout_name, timezone=settings.timezone, currency=settings.currency)


def _recognise(sample: bytes, settings: Settings) -> tuple[tuple[Candidate, ...], Layout | None, str | None]:
    """Return the candidates, the layout in force, and the reason if there is none."""
    if settings.layout:
        layout = _overridden(load_layout(settings.layout), settings)
        named = judge_layout(layout, read_first_rows(sample, layout.dialect).rows)
        return (named,), layout, None
    ranked = tuple(rank_layouts(sample, read_in(settings.encoding, builtin_layouts())))
    try:
        return ranked, _overridden(chosen(ranked).layout, settings), None
    except LayoutError as error:
        return ranked, None, error.message


def _overridden(layout: Layout, settings: Settings) -> Layout:
    return layout.with_overrides(
        timezone=settings.timezone, currency=settings.currency, system=settings.system, encoding=settings.encoding
    )


def _first_calls(sample: bytes, layout: Layout, rows: int) -> FirstCalls:
    from trunkline.extraction import extract
    from trunkline.transformation import transform

    calls, rejects = transform(extract(sample, layout), layout)
    if len(sample) == SAMPLE_BYTES:  # the last line may be cut
        last = max(calls.index.max() if len(calls) else 0, rejects["source_line"].max() if len(rejects) else 0)
        calls, rejects = calls[calls.index < last], rejects[rejects["source_line"] < last]
    return FirstCalls(
        calls=_records(calls.drop(columns=_NOT_SHOWN).head(rows).reset_index()),
        rejects=_records(rejects[["source_line", "field", "code", "message"]].head(rows)),
        typed=len(calls),
        rejected_by=dict(sorted(Counter(rejects["code"]).items())),
        clocks=_clocks(calls, layout),
        warnings=_warnings(calls, layout, sample),
    )


def _warnings(calls: pd.DataFrame, layout: Layout, sample: bytes) -> list[str]:
    from trunkline.layout.header_match import header_warnings
    from trunkline.spreadsheet import judge_traces

    form = calls.attrs["form"]
    warnings = header_warnings(form.header, layout)
    cr_only = ends_with_cr_only(sample, form.dialect)
    try:
        judge_traces(calls.attrs["findings"].traces, layout, form.header, cr_only=cr_only, warn=warnings.append)
    except RefusedError as error:
        warnings.append(error.message)
    return warnings


def _clocks(calls: pd.DataFrame, layout: Layout) -> dict[str, Judgement]:
    import pyarrow as pa

    from trunkline.clock_proof import judge_clocks, prove_clocks

    names = {name for clock in layout.clocks for name in (clock.field, clock.of)}
    batch = pa.RecordBatch.from_pydict({name: pa.array(calls[name]) for name in names})
    return judge_clocks(prove_clocks(batch, layout), layout)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as Python values, what is missing as None."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]
