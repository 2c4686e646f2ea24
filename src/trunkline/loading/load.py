"""The public load: typed calls into PostgreSQL, in the transaction of the caller.

The same stage and publish as in a run, on one connection; nothing here commits, or rolls back more than it did itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import psycopg2
import psycopg2.extensions
import pyarrow as pa
from blake3 import blake3

from trunkline.blocks import NO_REJECTS, REJECT_COLUMNS, REJECT_SCHEMA, Block, RawRecords, TypedBlock
from trunkline.books.account import Books
from trunkline.books.reading import show_load
from trunkline.books.sequences import note_name
from trunkline.books.writing import (
    Attempts,
    Content,
    OpenLoad,
    ReadRaw,
    begin_load,
    check_terms,
    find_unchanged,
    note_readings,
    note_verdict,
    note_warnings,
    terms_of,
    unchanged_books,
)
from trunkline.clock_proof import prove_clocks
from trunkline.database.schema import share_schema
from trunkline.errors import UsageError
from trunkline.evidence import Evidence, judge_source
from trunkline.findings import Findings
from trunkline.frames import as_csv, source_lines, typed_batch
from trunkline.framing.cutting import SourceForm
from trunkline.layout.files import load_layout
from trunkline.loading.catalog import first_days, partitions_of
from trunkline.loading.publishing import UnchangedError, publish
from trunkline.loading.sealing import seal
from trunkline.loading.staging import (
    BlockAccount,
    add_blocks,
    check_partition_count,
    copy_rejects,
    copy_rows,
    make_staged,
    open_stage,
    staged_rows,
    starts_in,
)
from trunkline.loading.tables import CallTable, ensure_call_table
from trunkline.trailers import Counts
from trunkline.transformation import RECORD_KEY, typed_totals

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.layout.files import Layout

ROWS_AT_ONCE = 100_000  # bounds the memory of the encoded copy


def load(
    calls: pd.DataFrame, connection: Connection, layout: Layout | str, rejects: pd.DataFrame | None = None
) -> Books:
    """
    Load typed calls into the layout's call table, and write the books, in the caller's transaction.

    Commits nothing: calls, rejects and books become visible together when the caller commits, or not at all.  Until
    then other loads into this call table wait; readers do not.  After an error the transaction is as it was before,
    and can go on.

    Args:
        calls: What `transform` returned: the layout's columns and ``record_key``, indexed by source line.
        connection: A psycopg2 connection to a database whose schema is current (``trunkline db migrate``).
        layout: What `transform` was given: the layout with its overrides, or its name or path.
        rejects: What `transform` returned beside the calls; kept in the books.

    Returns:
        The books: status ``loaded``, or ``unchanged`` with the earlier load's numbers where this content is
        in the table already.

    Raises:
        ReloadNeededError: If the table holds this system's calls under another zone, currency or key.
        UsageError: If *calls* lacks a column, or the connection is in autocommit mode.
        SchemaError: If the call table does not fit the layout.
        RefusedError: If there are rejects, and no call; or if second clocks in the records show that times were read
            in a wrong zone or with day and month the wrong way round, unless the layout says ``wrong_zone = "report"``.
        psycopg2.Error: As the connection raises it.
    """
    if connection.autocommit:
        raise UsageError(
            "the connection is in autocommit mode, expected one whose transaction the caller ends",
            hint="set connection.autocommit = False: calls and books must become visible together",
        )
    if isinstance(layout, str):
        layout = load_layout(layout)
    typed = _typed(calls, layout)
    kept = _reject_rows(rejects)
    content = Content(hash=_content_hash(calls, typed, len(kept)), bytes=int(calls.attrs.get("bytes", 0)))
    read = max(int(calls.attrs.get("read", 0)), typed.read + len(kept))
    # Records that the caller took out between transform and load are accounted for, too.
    typed = replace(typed, read=read, filtered=read - typed.batch.num_rows - len(kept))
    source = str(calls.attrs.get("source", "DataFrame"))
    try:
        with _within(connection) as cursor:
            share_schema(connection, session=False)
            table = ensure_call_table(cursor, layout)
            terms = terms_of(layout, table, source)
            unchanged = find_unchanged(cursor, terms, content.hash)
            if unchanged is not None:
                note_name(cursor, unchanged, layout.sequence, source)
                return unchanged_books(connection, unchanged, source, Attempts())
            check_terms(cursor, table, terms, ())
            doubts: list[str] = []
            verdict = judge_source(_evidence(calls, typed, layout), layout, warn=doubts.append)
            for doubt in doubts:
                warnings.warn(f"{source}: {doubt}", RuntimeWarning, stacklevel=2)
            opened = begin_load(cursor, terms, content=content, resume_key=None)
            note_warnings(cursor, opened.load_id, doubts)
            note_verdict(cursor, opened.load_id, verdict)
            if isinstance(form := calls.attrs.get("form"), SourceForm):
                note_readings(cursor, {opened.load_id: form})
            _stage(cursor, table, layout, opened, typed, kept)
            publish(
                cursor,
                table,
                opened,
                terms,
                content,
                on_conflict=layout.on_conflict,
                max_rejects=None,
                read_raw=_raw_reader(calls, typed),
                sequence=layout.sequence,
            )
            return show_load(connection, opened.load_id).books
    except UnchangedError as error:  # another session published it since we looked
        with _within(connection):
            return unchanged_books(connection, error.load_id, source, Attempts())


def _evidence(calls: pd.DataFrame, typed: TypedBlock, layout: Layout) -> Evidence:
    """Return what is judged of calls that may be a whole source or a part of it; their header was when it was read."""
    findings = calls.attrs.get("findings")
    return Evidence(
        proofs=prove_clocks(typed.batch, layout),
        findings=findings if isinstance(findings, Findings) else Findings(),
        counts=_counts(calls) if calls.attrs.get("whole") else None,
    )


def _counts(calls: pd.DataFrame) -> Counts:
    """Return the records of a whole source as they were when they were typed, whatever was taken out since."""
    read, filtered, typed = (int(calls.attrs.get(name, 0)) for name in ("read", "filtered", "typed"))
    return Counts(read=read, rejected=read - filtered - typed, filtered=filtered)


@contextmanager
def _within(connection: Connection) -> Iterator[Cursor]:
    """Give a plain cursor, whatever kind the caller's are; after an error the transaction is as it was before."""
    factory, connection.cursor_factory = connection.cursor_factory, psycopg2.extensions.cursor
    try:
        with connection.cursor() as cursor:
            cursor.execute("savepoint trunkline_load")
            try:
                yield cursor
            except BaseException:
                with suppress(psycopg2.Error):  # the connection is gone, and the transaction with it
                    cursor.execute("rollback to savepoint trunkline_load")
                raise
            cursor.execute("release savepoint trunkline_load")
    finally:
        connection.cursor_factory = factory


def _typed(calls: pd.DataFrame, layout: Layout) -> TypedBlock:
    batch = typed_batch(calls, [*(column.name for column in layout.columns), RECORD_KEY])
    return TypedBlock(batch=batch, lines=source_lines(calls), rejects=NO_REJECTS, read=batch.num_rows, filtered=0)


def _reject_rows(rejects: pd.DataFrame | None) -> pd.DataFrame:
    return pd.DataFrame(columns=list(REJECT_COLUMNS)) if rejects is None else rejects


def _content_hash(calls: pd.DataFrame, typed: TypedBlock, rejected: int) -> str:
    """
    Return what makes this the same content: the source's bytes, but the calls themselves where some were taken out.

    The attrs of a frame outlive what is done to its rows, so that they alone do not tell.
    """
    there = typed.batch.num_rows + rejected + calls.attrs.get("filtered", 0)
    if "content_hash" in calls.attrs and calls.attrs.get("read") == there:
        return str(calls.attrs["content_hash"])
    hasher = blake3(typed.batch.serialize())
    hasher.update(typed.lines.tobytes())
    return hasher.hexdigest()


def _stage(
    cursor: Cursor, table: CallTable, layout: Layout, opened: OpenLoad, typed: TypedBlock, kept: pd.DataFrame
) -> None:
    load_id = opened.load_id
    open_stage(cursor, table, load_id)
    starts = starts_in(typed.batch, table)
    partitions = partitions_of(cursor, table)
    check_partition_count(starts, first_days(partitions))
    staged = make_staged(cursor, table, load_id, sorted(starts, key=str), system=layout.system or "")
    for part in _slices(typed):
        rows = staged_rows(part, table, first_line=0)
        copy_rows(cursor, table, rows, staged)
    _keep_rejects(cursor, load_id, kept)
    whole = Block(position=0, first_byte=0, first_line=0, data=b"", lines=typed.read)
    counted = replace(typed, rejects=_placeholders(len(kept)))
    totals = typed_totals(typed.batch, layout)
    add_blocks(cursor, BlockAccount(load_id=load_id, block=whole, typed=counted, identity="", totals=totals))
    for each in staged.values():
        seal(cursor, table, opened, each, on_conflict=layout.on_conflict, partitions=partitions)


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


def _raw_reader(calls: pd.DataFrame, typed: TypedBlock) -> ReadRaw:
    """Return what finds the original bytes of records, or writes them as CSV where they never were a file."""
    records = calls.attrs.get("records")
    if isinstance(records, RawRecords):
        return lambda lines: map(records.find, lines)
    rows = {line: row for row, line in enumerate(typed.lines.tolist())}
    values = typed.batch.select(typed.batch.schema.names[:-1])  # all but the key
    return lambda lines: ((0, as_csv(values, rows[line])) for line in lines)
