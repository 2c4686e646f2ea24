"""Transform: the text of records to typed calls with keys, and to rejects.

A block at a time, a column at a time.  `transform` does the same for DataFrames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial, reduce
from itertools import pairwise
from operator import add
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trunkline.blocks import NO_REJECTS, REJECT_SCHEMA, Lines, RejectTable, TextBlock, TypedBlock, TypedTotals
from trunkline.cache.port import BlockCache
from trunkline.clock_proof import second_clock
from trunkline.fields.decided import decide
from trunkline.fields.judging import Judged, judge, sorted_rejects
from trunkline.fields.parsed import Fault
from trunkline.fields.parsing import field_text, parse_field, parse_span
from trunkline.fields.text_json import json_objects
from trunkline.fields.zones import MICROSECONDS, Witness
from trunkline.findings import Findings, Traces
from trunkline.frames import calls_frame, digest, rejects_frame, source_lines, text_batch
from trunkline.framing.cutting import SourceForm
from trunkline.framing.dialect import ResolvedDialect
from trunkline.keys import record_keys
from trunkline.layout.fields import RAW, AnyField, DurationField, MoneyField, TextField
from trunkline.layout.header_match import Places, match_header, unknown_columns, unknown_places
from trunkline.layout.header_rows import repeated_headers
from trunkline.layout.model import Layout, SecondClock
from trunkline.layout.rules import SYSTEM
from trunkline.spreadsheet import empty_records, find_traces
from trunkline.trailers import Found, find_trailers, sums_of

if TYPE_CHECKING:
    import pandas as pd
    import redis as redis_py

RECORD_KEY = "record_key"
EXTRA = "extra"
ROWS_AT_ONCE = 65_536  # of a DataFrame: a few MiB, as the blocks of a file have


def transform(
    frame: pd.DataFrame, layout: Layout | str, redis: redis_py.Redis | BlockCache | None = None
) -> tuple[pd.DataFrame, RejectTable]:
    """
    Return typed calls and rejects of a frame of text.

    Args:
        frame: One text column per CSV column, indexed by source line: from `extract`, or the user's own.
        layout: What the text means, with the user's overrides; or the name or path of a layout.
        redis: Where results are cached, if anywhere.

    Returns:
        The calls, with the layout's columns and ``record_key`` (16 bytes), indexed by source line, and one row
        per reject with the columns ``source_line, byte_offset, raw, field, code, message``, those of extraction
        included.  The attrs of the calls are those of *frame*, with ``filtered``, how many records the layout
        says are no calls, ``typed``, how many calls there are, ``unknown_columns``, the names of columns that it
        does not know, and ``findings``, which `load` judges.

    Raises:
        RefusedError: If the columns are not those of the layout.
        UsageError: If a column is not text, or *layout* leaves open in which zone its times are.
        LayoutError: If there is no such layout.
    """
    if isinstance(layout, str):
        layout = _load_layout(layout)
    layout.check_complete()
    batch, lines = text_batch(frame), source_lines(frame)
    trailing = _trailers(frame, batch, layout)
    batch, lines = batch.filter(pa.array(~trailing.rows)), lines[~trailing.rows]
    cache = _cache_for(redis)
    starts = range(0, max(len(lines), 1), ROWS_AT_ONCE)
    firsts = [int(lines[start]) if len(lines) else 0 for start in starts]
    parts = [
        _transform_part(batch.slice(start, ROWS_AT_ONCE), lines[start : start + ROWS_AT_ONCE] - first, layout, cache)
        for start, first in zip(starts, firsts, strict=True)
    ]
    calls = calls_frame(parts, firsts)
    calls.attrs = {
        **frame.attrs,
        "read": frame.attrs.get("read", len(frame)),
        "filtered": sum(part.filtered for part in parts) + len(trailing.trailers),
        "typed": len(calls),
        "findings": reduce(add, (part.findings for part in parts)) + _stated(trailing, parts, layout),
        "unknown_columns": unknown_columns(batch.schema.names, layout),
    }
    earlier = frame.attrs.get("rejects")
    if earlier is not None:
        earlier = earlier[~trailing.rejected]
    return calls, rejects_frame(parts, firsts, frame, batch, earlier)


def _trailers(frame: pd.DataFrame, batch: pa.RecordBatch, layout: Layout) -> Found:
    """Return the trailers among the records of a frame, and among those that could not be read as calls."""
    earlier = frame.attrs.get("rejects")
    rejected = [] if earlier is None else earlier["raw"].tolist()
    if layout.trailer is None:
        none = np.zeros(batch.num_rows, dtype=np.bool_), np.zeros(len(rejected), dtype=np.bool_)
        return Found(rows=none[0], rejected=none[1], trailers=())
    form = frame.attrs.get("form")
    dialect = form.dialect if isinstance(form, SourceForm) else ResolvedDialect()
    return find_trailers(batch, rejected, layout, layout.trailer, dialect)


def _stated(trailing: Found, parts: Sequence[TypedBlock], layout: Layout) -> Findings:
    if layout.trailer is None:
        return Findings()
    sums = (Findings(sums=sums_of(part.batch, layout.trailer)) for part in parts)
    return reduce(add, sums, Findings(trailers=trailing.trailers))


def _load_layout(name: str) -> Layout:
    from trunkline.layout.files import load_layout

    return load_layout(name)


def _cache_for(redis: redis_py.Redis | BlockCache | None) -> BlockCache | None:
    if redis is None:
        return None
    from trunkline.cache.store import cache_for  # imports the client library

    return cache_for(redis)


def transform_key(identity: str, layout: Layout) -> str:
    """Return what stands in the cache for the typed calls of what has this *identity*."""
    return f"{identity}{layout.fingerprint}"


def _transform_part(batch: pa.RecordBatch, lines: Lines, layout: Layout, cache: BlockCache | None) -> TypedBlock:
    """Transform some rows of a frame, through the cache if there is one."""
    text = TextBlock(batch=batch, lines=lines, rejects=NO_REJECTS, read=batch.num_rows)
    if cache is None:
        return transform_block(text, layout)
    key = transform_key(digest(batch, lines), layout)
    typed = cache.get_typed(key)
    if typed is None:
        typed = transform_block(text, layout)
        cache.put_typed(key, typed)
    return typed


def transform_block(text: TextBlock, layout: Layout) -> TypedBlock:
    """
    Return the typed calls of a block.

    Args:
        text: What extraction made of it.
        layout: With the user's overrides.

    Raises:
        RefusedError: If the columns of the CSV are not those of the layout.
    """
    return transform_each([text], layout)[0]


def transform_each(texts: Sequence[TextBlock], layout: Layout) -> list[TypedBlock]:
    """
    Return the typed calls of each of some blocks, as `transform_block` would.

    They are parsed as one: what parsing costs beside what it costs for each record is as much as 10,000 records take.
    A small block that is kept keeps the memory of all.

    Args:
        texts: What extraction made of them, with the same columns.
        layout: With the user's overrides.

    Raises:
        RefusedError: If the columns of the CSV are not those of the layout.
    """
    if not texts:
        return []
    places = match_header(texts[0].batch.schema.names, layout)
    calls = [_without_skipped(text, layout, places) for text in texts]
    batch, rows = _joined([part for part, _ in calls]), _slices([len(lines) for _, lines in calls])
    columns: dict[str, pa.Array] = {}
    judgements: dict[str, Judged] = {}
    traces = [Traces() for _ in texts]
    for field in sorted(layout.fields, key=lambda field: _turn(field, layout)):
        said = field_text(field, layout, *_columns_of(field, batch, places))
        clock = layout.clock_of(field.name)
        if isinstance(field, DurationField) and field.between is not None:
            parsed = parse_span(field, *(columns[name] for name in field.between))
        else:
            parsed = parse_field(field, layout, said, None if clock is None else partial(_witness, columns, clock))
        if isinstance(field, TextField) and field.when is not None:
            parsed = decide(parsed, field.when, columns)
        for found, part in zip(traces, rows, strict=True):
            found.update(find_traces(field, layout, said[part], parsed[part]))
        columns |= zip((column.name for column in field.columns), parsed.columns, strict=True)
        judgements[field.name] = Judged(field=field.name, text=said.text, faults=parsed.faults)
    columns = {column.name: columns[column.name] for field in layout.fields for column in field.columns}
    judged = [judgements[field.name] for field in layout.fields]
    if layout.extra == "keep":
        columns[EXTRA] = _extra(batch, layout)
    judged.append(_judge_keys(columns, layout, batch.num_rows))
    for found, part in zip(traces, rows, strict=True):
        found.update(empty_records(batch[part], judged[-1].faults[0].rows[part]))
    good, rejects = judge(judged, np.arange(batch.num_rows))
    typed = pa.RecordBatch.from_pydict(columns)
    if rejects.num_rows:
        typed = typed.filter(pa.array(good))
    typed = typed.append_column(RECORD_KEY, record_keys(_key_parts(typed, layout)))
    kept = _slices([int(np.count_nonzero(good[part])) for part in rows])
    return [
        TypedBlock(
            batch=typed[place],
            lines=lines[good[part]] if rejects.num_rows else lines,
            rejects=sorted_rejects([text.rejects, _of_rows(rejects, part, lines)]),
            read=text.read,
            filtered=text.batch.num_rows - len(lines),
            findings=Findings(traces=found),
        )
        for text, (_, lines), part, place, found in zip(texts, calls, rows, kept, traces, strict=True)
    ]


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _slices(lengths: Sequence[int]) -> list[slice]:
    """Return where pieces of some lengths are, that lie one behind the other."""
    ends = np.cumsum([0, *lengths]).tolist()
    return [slice(first, end) for first, end in pairwise(ends)]


def _of_rows(rejects: pa.RecordBatch, rows: slice, lines: Lines) -> pa.RecordBatch:
    """Return the rejects of some rows, which are told by their number, with the *lines* of these rows instead."""
    if not rejects.num_rows:
        return rejects
    numbers = rejects.column("line").to_numpy()
    first, end = np.searchsorted(numbers, [rows.start, rows.stop]).tolist()
    there = pa.array(lines[numbers[first:end] - rows.start])
    return rejects[first:end].set_column(0, REJECT_SCHEMA.field("line"), there)


def _turn(field: AnyField, layout: Layout) -> int:
    """Return when a field is parsed: after the clocks that settle it, and after the fields that it is made of."""
    if isinstance(field, TextField) and field.when is not None:
        return 3
    if isinstance(field, DurationField) and field.between is not None:
        return 2
    return int(layout.clock_of(field.name) is not None)


def _witness(columns: Mapping[str, pa.Array], clock: SecondClock) -> Witness:
    """Return what a second clock says; the columns that it needs are parsed already."""
    moments = second_clock(columns[clock.field], clock)
    for name, combine in ((clock.plus, pc.add), (clock.minus, pc.subtract)):
        if name is not None:
            span = pc.cast(pc.multiply(columns[name], MICROSECONDS), pa.int64(), safe=False)
            moments = combine(moments, span)
    there = moments.is_valid().to_numpy(zero_copy_only=False)
    return Witness(moments=moments.fill_null(0).to_numpy(), there=there, tolerance=clock.tolerance_s * MICROSECONDS)


def _without_skipped(text: TextBlock, layout: Layout, places: Places) -> tuple[pa.RecordBatch, Lines]:
    """Return the records that are calls: neither the header again nor what the layout says is none; and their lines."""
    headers = repeated_headers(text.batch, layout)
    if not (layout.skip and text.batch.num_columns) and not len(headers):
        return text.batch, text.lines
    skipped = np.zeros(text.batch.num_rows, dtype=np.bool_)
    skipped[headers] = True
    for rule in layout.skip:
        column = text.batch.column(places[rule.column])
        listed = rule.is_in if rule.is_in is not None else rule.not_in
        inside = pc.is_in(column, value_set=pa.array(listed, pa.string())).to_numpy(zero_copy_only=False)
        skipped |= inside if rule.is_in is not None else ~inside
    return text.batch.filter(pa.array(~skipped)), text.lines[~skipped]


def _columns_of(
    field: AnyField, batch: pa.RecordBatch, places: Places
) -> tuple[list[pa.StringArray], pa.StringArray | None]:
    """Return the text columns of a field, and that beside them; one that the CSV lacks is all null."""

    def column(wanted: str | int) -> pa.StringArray:
        return batch.column(places[wanted]) if wanted in places else pa.nulls(batch.num_rows, pa.string())

    beside = field.beside
    if beside is None or (isinstance(field, MoneyField) and beside not in places):  # an unknown currency is NULL
        return [column(wanted) for wanted in field.columns_read], None
    return [column(wanted) for wanted in field.columns_read], column(beside)


def _extra(batch: pa.RecordBatch, layout: Layout) -> pa.StringArray:
    """Return the columns that the layout does not know, as JSON."""
    places = unknown_places(batch.schema.names, layout)
    names = [batch.schema.names[place] for place in places]
    return json_objects(names, [batch.column(place) for place in places], rows=batch.num_rows)


def _judge_keys(columns: Mapping[str, pa.Array], layout: Layout, rows: int) -> Judged:
    """Find the records whose key fields are all empty: nothing says which call they are."""
    parts = [columns[name] for name in _key_columns(layout)]
    empty = np.ones(rows, dtype=np.bool_)
    for part in parts:
        if not part.null_count:
            empty[:] = False
            break
        empty &= part.is_null().to_numpy(zero_copy_only=False)
    names = ", ".join(name for name in layout.key if name != SYSTEM)
    fault = Fault(code="missing_value", rows=empty, expected=f"a value in at least one key field ({names})")
    return Judged(field=None, text=pa.nulls(rows, pa.string()), faults=(fault,))


def _key_columns(layout: Layout) -> list[str]:
    """Return the columns that make the key, in its order, without `system`: what the record states."""
    columns: list[str] = []
    for name in layout.key:
        if name == SYSTEM:
            continue
        field = layout.field(name)
        columns.append(name + RAW if isinstance(field, TextField) and field.map is not None else name)
        if isinstance(field, MoneyField) and field.currency_from is not None:
            columns.append(field.currency_column)
    return columns


def _key_parts(typed: pa.RecordBatch, layout: Layout) -> list[pa.Array | str]:
    system: list[pa.Array | str] = [layout.system or ""] if SYSTEM in layout.key else []
    return [*system, *(typed.column(name) for name in _key_columns(layout))]


def typed_totals(batch: pa.RecordBatch, layout: Layout) -> TypedTotals:
    """
    Return the sums of seconds and of cost by currency over typed calls.

    Args:
        batch: With the layout's columns.
        layout: Whether it has a field ``duration_s`` and a field ``cost``; other durations and amounts are not
            summed.  Calls without a cost are in no sum.
    """
    names = {field.name for field in layout.fields}
    return TypedTotals(
        duration_s=_sum(batch.column("duration_s")) if "duration_s" in names else Decimal(0),
        cost=_costs(batch) if "cost" in names else {},
    )


def _costs(batch: pa.RecordBatch) -> dict[str, Decimal]:
    currencies, costs = batch.column("currency"), batch.column("cost")
    if costs.null_count:
        priced = costs.is_valid()
        currencies, costs = currencies.filter(priced), costs.filter(priced)
    if not len(costs):
        return {}
    first = currencies[0]
    if first.is_valid and pc.all(pc.equal(currencies, first), skip_nulls=False).as_py():  # four times as fast
        return {first.as_py(): _sum(costs)}
    priced = pa.table({"currency": currencies, "cost": costs})
    sums = priced.group_by("currency", use_threads=False).aggregate([("cost", "sum")])
    return {
        currency or "": Decimal(cost)
        for currency, cost in zip(sums["currency"].to_pylist(), sums["cost_sum"].to_pylist(), strict=True)
    }


def _sum(values: pa.Array | pa.ChunkedArray) -> Decimal:
    return Decimal(pc.sum(values, min_count=0).as_py())
