"""The public load: typed calls into PostgreSQL, in the transaction of the caller.

The same stage and publish as in a run, on one connection; nothing here commits or rolls back.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
from blake3 import blake3

from trunkline.blocks import REJECT_COLUMNS, REJECT_SCHEMA, Block, RawRecords, TypedBlock
from trunkline.bookkeeping import (
    Content,
    OpenLoad,
    ReadRaw,
    begin_load,
    check_terms,
    find_unchanged,
    read_books,
    terms_of,
)
from trunkline.books import Books
from trunkline.errors import UsageError
from trunkline.partitions import partition_starts
from trunkline.publishing import publish
from trunkline.schema import share_schema
from trunkline.staging import (
    add_block,
    check_partition_count,
    copy_rejects,
    copy_rows,
    make_staged,
    open_stage,
    seal,
    staged_rows,
)
from trunkline.tables import CallTable, ensure_call_table
from trunkline.transformation import typed_totals

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.layout import Layout

ROWS_AT_ONCE = 100_000  # bounds the memory of the encoded copy


def load(calls: pd.DataFrame, connection: Connection, layout: Layout, rejects: pd.DataFrame | None = None) -> Books:
    """
    Load typed calls into the layout's call table, and write the books, in the caller's transaction.

    Commits nothing: calls, rejects and books become visible together when the caller commits, or not at all.

    Args:
        calls: What `transform` returned: the layout's columns and ``record_key``, indexed by source line.
        connection: A psycopg2 connection to a database whose schema is current (``trunkline db migrate``).
        layout: The layout that `transform` was given, with its overrides.
        rejects: What `transform` returned beside the calls; kept in the books.

    Returns:
        The books: status ``loaded``, or ``unchanged`` with the earlier load's numbers where this content is
        in the table already.

    Raises:
        ReloadNeededError: If the table holds this system's calls under another zone, currency or key.
        UsageError: If *calls* lacks a column.
        SchemaError: If the call table does not fit the layout.
        psycopg2.Error: As the connection raises it; the transaction is then the caller's to roll back.
    """
    typed = _typed(calls, layout)
    kept = _reject_rows(rejects)
    content = Content(
        hash=calls.attrs.get("content_hash") or _hash(typed.batch), bytes=int(calls.attrs.get("bytes", 0))
    )
    read = max(int(calls.attrs.get("read", 0)), typed.read + len(kept))
    # Records that the caller took out between transform and load are accounted for, too.
    typed = replace(typed, read=read, filtered=read - typed.batch.num_rows - len(kept))
    with connection.cursor() as cursor:
        share_schema(connection, session=False)
        table = ensure_call_table(cursor, layout)
        terms = terms_of(layout, table, str(calls.attrs.get("source", "DataFrame")))
        unchanged = find_unchanged(cursor, terms, content.hash)
        if unchanged is not None:
            return replace(read_books(cursor, unchanged), status="unchanged")
        check_terms(cursor, table, terms, ())
        opened = begin_load(cursor, terms, content=content, resume_key=None)
        _stage(cursor, table, layout, opened, typed, kept)
        publish(
            cursor,
            table,
            opened,
            terms,
            content,
            on_conflict=layout.on_conflict,
            max_rejects=None,
            read_raw=_raw_reader(calls),
        )
        return read_books(cursor, opened.load_id)


def _typed(calls: pd.DataFrame, layout: Layout) -> TypedBlock:
    names = [*(column.name for column in layout.columns), "record_key"]
    missing = [name for name in names if name not in calls.columns]
    if missing:
        raise UsageError(
            f"the calls have no column {', '.join(missing)}; expected those of layout {layout.name!r}",
            hint="pass what transform() returned, with the same layout",
        )
    columns = calls[names]
    columns.attrs = {}  # what pyarrow cannot write into its metadata it warns of
    table = pa.Table.from_pandas(columns, preserve_index=False).combine_chunks()
    batches = table.to_batches()
    batch = batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
    batch = batch.replace_schema_metadata(None)
    return TypedBlock(
        batch=batch,
        lines=calls.index.to_numpy(dtype=np.int64),
        rejects=REJECT_SCHEMA.empty_table().to_batches()[0]
        if REJECT_SCHEMA.empty_table().to_batches()
        else pa.RecordBatch.from_pylist([], schema=REJECT_SCHEMA),
        read=batch.num_rows,
        filtered=0,
    )


def _reject_rows(rejects: pd.DataFrame | None) -> pd.DataFrame:
    return pd.DataFrame(columns=list(REJECT_COLUMNS)) if rejects is None else rejects


def _hash(batch: pa.RecordBatch) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return blake3(sink.getvalue()).hexdigest()


def _stage(
    cursor: Cursor, table: CallTable, layout: Layout, opened: OpenLoad, typed: TypedBlock, kept: pd.DataFrame
) -> None:
    load_id = opened.load_id
    open_stage(cursor, table, load_id)
    starts = _starts(table, typed.batch)
    check_partition_count(starts, set())
    staged = make_staged(cursor, table, load_id, sorted(starts, key=str))
    for part in _slices(typed):
        rows = staged_rows(part, table, load_id=load_id, first_line=0, system=layout.system or "")
        copy_rows(cursor, rows, staged)
    _keep_rejects(cursor, load_id, kept)
    whole = Block(position=0, first_byte=0, first_line=0, data=b"", lines=typed.read)
    counted = replace(typed, rejects=_placeholders(len(kept)))
    add_block(cursor, load_id, whole, counted, identity="", totals=typed_totals(typed.batch, layout))
    for each in staged.values():
        seal(cursor, table, load_id, each, on_conflict=layout.on_conflict)


def _starts(table: CallTable, batch: pa.RecordBatch) -> set[date | None]:
    if not table.is_partitioned:
        return {None}
    starts = partition_starts(batch.column(table.event_time), table.partition)
    return set(np.unique(starts).tolist())


def _slices(typed: TypedBlock) -> Iterator[TypedBlock]:
    for first in range(0, typed.batch.num_rows, ROWS_AT_ONCE):
        yield replace(
            typed,
            batch=typed.batch.slice(first, ROWS_AT_ONCE),
            lines=typed.lines[first : first + ROWS_AT_ONCE],
        )


def _placeholders(count: int) -> pa.RecordBatch:
    """Return *count* rejects without content: the block's account counts them, the books keep the real ones."""
    return pa.record_batch(
        [
            pa.repeat(pa.scalar(0, pa.int64()), count),
            pa.nulls(count, pa.string()),
            pa.repeat(pa.scalar("", pa.string()), count),
            pa.repeat(pa.scalar("", pa.string()), count),
        ],
        schema=REJECT_SCHEMA,
    )


def _keep_rejects(cursor: Cursor, load_id: int, kept: pd.DataFrame) -> None:
    if kept.empty:
        return
    copy_rejects(
        cursor,
        load_id,
        lines=kept["source_line"].to_numpy(dtype=np.int64),
        offsets=kept["byte_offset"].tolist(),
        raws=kept["raw"].tolist(),
        rest={name: _texts(kept[name]) for name in ("field", "code", "message")},
    )


def _texts(values: Iterable[object]) -> pa.Array:
    return pa.array([None if pd.isna(value) else str(value) for value in values], pa.string())  # type: ignore[call-overload]


def _raw_reader(calls: pd.DataFrame) -> ReadRaw:
    records = calls.attrs.get("records")
    if isinstance(records, RawRecords):
        return lambda lines: {line: records.find(line) for line in lines}
    return lambda lines: {line: (0, _as_csv(calls, line)) for line in lines}


def _as_csv(calls: pd.DataFrame, line: int) -> bytes:
    """Return a record of a frame that was never a file: its values as CSV."""
    values = calls.drop(columns="record_key").loc[[line]].iloc[0].to_list()
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(values)
    return out.getvalue().encode()
