"""Explain a record: where it stands in its source, and what became of it in each load that met it.

The books name rejects by line, and the call table calls by load and line.  A duplicate is in neither: its source is
read again, where it is at hand, for the key that leads to the call that was kept.  Nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from psycopg2 import sql

from trunkline.books.writing import terms_of
from trunkline.database.connection import transaction
from trunkline.database.queries import Queries
from trunkline.errors import SourceError, TrunklineError, UsageError
from trunkline.layout.files import load_layout
from trunkline.loading.expressions import same_key
from trunkline.loading.rehearsal import STAGED, bounds_of, open_rehearsal, rehearse_rows
from trunkline.loading.staging import staged_rows
from trunkline.loading.tables import CallTable, find_call_table, identifiers, planned_call_table
from trunkline.runner import layout_in_force
from trunkline.sources.naming import shown
from trunkline.sources.source import Source, open_source
from trunkline.tracing.chapters import RecordRead, chapters_of, find_loads
from trunkline.tracing.rereading import reread
from trunkline.tracing.story import Kept, KnownLoad, Story
from trunkline.transformation import RECORD_KEY

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.blocks import TypedBlock
    from trunkline.database.connection import Connection
    from trunkline.layout.files import Layout
    from trunkline.settings.resolution import Settings

query = Queries("explaining")

MOST_LOST = 20  # conflicts that are named with the call that was kept


def explain_place(connection: Connection, name: str, line: int, settings: Settings) -> Story:
    """
    Return the life of the record at a line of a source, from the source and the books; without it, from the books.

    Raises:
        SourceError: If the source is not at hand and the books do not know its name either.
        LayoutError, RefusedError: If it is at hand and cannot be read by the layout.
    """
    with transaction(connection) as cursor:
        try:
            opened = open_source(name)
        except SourceError as error:
            loads = find_loads(cursor, "loads_of_name", source=shown(name))
            if not loads:
                raise
            return _from_books(cursor, loads, line, error)
        with opened as source:
            layout = layout_in_force(source, settings)
            read = _read(cursor, source, layout, line)
            terms = terms_of(layout, find_call_table(cursor, layout) or planned_call_table(cursor, layout), source.name)
            loads = find_loads(
                cursor,
                "loads_of_content",
                content_hash=source.content_hash(),
                call_table=terms.call_table,
                system=terms.system,
            )
            notes = () if loads else ("no load has met this content; run it, or give the options of its run",)
            return _story(cursor, loads, line, read, notes, source=source.name)


def _from_books(cursor: Cursor, loads: Sequence[KnownLoad], line: int, error: SourceError) -> Story:
    """Return what the books know of a line of a source that is not at hand: of its last content."""
    same = [load for load in loads if load.content_hash == loads[-1].content_hash]
    notes = [f"told from the books alone: {error.message}"]
    if others := [str(load.id) for load in loads if load not in same]:
        notes.append(
            f"loads of this name with other bytes are left out, '--load' explains their lines: {', '.join(others)}"
        )
    return _story(cursor, same, line, None, tuple(notes))


def explain_line(connection: Connection, load_id: int, line: int, settings: Settings) -> Story:
    """
    Return the life of the record at a line of a load's source, which is read again if it is still where it was.

    Raises:
        UsageError: If the books have no such load.
    """
    with transaction(connection) as cursor:
        return _of_load(cursor, load_id, line, settings)


def explain_reject(connection: Connection, reject: int, settings: Settings) -> Story:
    """
    Return the life of a record that was rejected.

    Raises:
        UsageError: If the books have no such reject.
    """
    with transaction(connection) as cursor:
        cursor.execute(query("place_of_reject"), {"reject": reject})
        for load_id, line in cursor.fetchall():
            return _of_load(cursor, load_id, line, settings)
    raise UsageError(f"the books have no reject {reject}", hint="'trunkline rejects list' lists them")


def explain_key(connection: Connection, key: UUID, settings: Settings) -> list[Story]:
    """
    Return the lives of the records whose call has a key: one, unless several call tables have it.

    Raises:
        UsageError: If no call table has such a call.
    """
    with transaction(connection) as cursor:
        cursor.execute(query("call_tables"))
        places = [
            place
            for schema, name in cursor.fetchall()
            for place in _calls_of_key(cursor, sql.Identifier(schema, name), key)
        ]
        if not places:
            raise UsageError(f"no call table has a call of the key {key}", hint="a duplicate is found by its place")
        return [_of_load(cursor, load_id, line, settings) for load_id, line in places]


def _calls_of_key(cursor: Cursor, table: sql.Identifier, key: UUID) -> list[tuple[int, int]]:
    cursor.execute(query("calls_of_key", table=table), {"key": str(key)})
    return cursor.fetchall()


def _of_load(cursor: Cursor, load_id: int, line: int, settings: Settings) -> Story:
    for load in find_loads(cursor, "load_of_id", load_id=load_id):
        if load.replays is not None:  # its lines are those of the load whose rejects it sent again
            return _of_load(cursor, load.replays, line, settings)
        read, notes = _read_again(cursor, load, line, settings)
        met = find_loads(
            cursor,
            "loads_of_content",
            content_hash=load.content_hash,
            call_table=load.call_table,
            system=load.system,
        )
        return _story(cursor, met or [load], line, read, notes)
    raise UsageError(f"the books have no load {load_id}", hint="'trunkline loads' lists them")


def _read_again(
    cursor: Cursor, load: KnownLoad, line: int, settings: Settings
) -> tuple[RecordRead | None, tuple[str, ...]]:
    """Read the record again if the source of the load is a file that is still there, as it was; else say what to do."""
    advice = f"'trunkline explain SOURCE:{line}' reads it where it is now"
    if not Path(load.source).is_file():
        return None, (f"{load.source} is not a file that is here; {advice}",)
    try:
        with open_source(load.source) as source:
            if source.content_hash() != load.content_hash:
                return None, (f"{load.source} has other bytes than load {load.id} brought; {advice}",)
            return _read(cursor, source, _layout_of(load, settings), line), ()
    except TrunklineError as error:
        return None, (f"cannot read {load.source} again: {error.reason}",)


def _layout_of(load: KnownLoad, settings: Settings) -> Layout:
    """Return today's layout with what the load was told, unless *settings* say otherwise."""
    layout = load_layout(settings.layout or load.layout).with_overrides(
        timezone=settings.timezone or (load.timezone if load.tz_source == "configured" else None),
        currency=settings.currency,
        system=load.system if settings.system is None else settings.system,
        encoding=settings.encoding,
    )
    layout.check_complete()
    return layout


def _read(cursor: Cursor, source: Source, layout: Layout, line: int) -> RecordRead:
    """Read a record, and look for the call that has its key."""
    found = reread(source, layout, line)
    read = RecordRead(line=found, layout=layout)
    if found.typed is None:
        return read
    key = str(UUID(bytes=found.typed.batch.column(RECORD_KEY)[0].as_py()))
    table = find_call_table(cursor, layout)
    kept = None if table is None else _kept(cursor, table, layout, found.typed, key)
    return replace(read, record_key=key, kept=kept)


def _kept(cursor: Cursor, table: CallTable, layout: Layout, typed: TypedBlock, key: str) -> Kept | None:
    """Return the call that has the key of *typed*, the record alone, which is copied to where it can be compared."""
    cursor.execute("savepoint before_copy")
    open_rehearsal(cursor, layout, table, system=layout.system or "")
    rehearse_rows(cursor, table, staged_rows(typed, table, first_line=0))
    cursor.execute(
        query(
            "call_of_key",
            staged=STAGED.identifier,
            table=table.identifier,
            same_key=same_key(table, "s", "k"),
            bounds=bounds_of(cursor, table),
            s_values=identifiers(table.value_columns, "s"),
            k_values=identifiers(table.value_columns, "k"),
        )
    )
    rows = cursor.fetchall()
    cursor.execute("rollback to savepoint before_copy")
    for load_id, line, partition, differs in rows:
        return Kept(load_id=load_id, source_line=line, partition=partition, record_key=key, differs=differs)
    return None


def _story(
    cursor: Cursor,
    loads: Sequence[KnownLoad],
    line: int,
    read: RecordRead | None,
    notes: tuple[str, ...],
    *,
    source: str | None = None,
) -> Story:
    chapters = tuple(chapter for load in loads for chapter in chapters_of(cursor, load, line, read))
    own = next((chapter for chapter in chapters if chapter.became in ("loaded", "changed")), None)
    offsets = [chapter.reject["byte_offset"] for chapter in chapters if chapter.reject]
    if read is None and any(chapter.became == "unknown" for chapter in chapters):
        notes += (
            "what is neither a call nor a reject is a duplicate, filtered, or no record: only the source can tell",
        )
    return Story(
        source=source or loads[-1].source,
        source_line=line,
        read_as=read.line.kind if read else None,
        block=read.line.block if read else _block(cursor, loads[-1], line),
        byte_offset=read.line.byte_offset if read else next(iter(offsets), None),
        record_key=read.record_key if read else (own.record_key if own else None),
        chapters=chapters,
        lost_against=_lost_against(cursor, own.load_id, line) if own else (),
        notes=notes,
    )


def _block(cursor: Cursor, load: KnownLoad, line: int) -> int | None:
    cursor.execute(query("block_at"), {"load_id": load.id, "source_line": line})
    return next((int(position) for position, _, _ in cursor.fetchall()), None)


def _lost_against(cursor: Cursor, load_id: int, line: int) -> tuple[tuple[int, int, int], ...]:
    cursor.execute(query("lost_against"), {"load_id": load_id, "source_line": line, "limit": MOST_LOST})
    return tuple(cursor.fetchall())
