"""What one load made of a record: from the books, the call table, and the record's own key where that is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from psycopg2 import sql

from trunkline.database.queries import Queries
from trunkline.tracing.rereading import Reread
from trunkline.tracing.story import Chapter, Kept, KnownLoad

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.layout.files import Layout

query = Queries("explaining")


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordRead:
    """What the source says of a record, and the call that has its key."""

    line: Reread
    layout: Layout
    record_key: str | None = None
    kept: Kept | None = None


def find_loads(cursor: Cursor, name: str, **parameters: object) -> list[KnownLoad]:
    cursor.execute(query(name, columns=query("load_columns")), parameters)
    return [KnownLoad(**dict(zip(KnownLoad.__slots__, row, strict=True))) for row in cursor.fetchall()]


def chapters_of(cursor: Cursor, load: KnownLoad, line: int, read: RecordRead | None) -> Iterator[Chapter]:
    """Yield what a load made of the record, and what the replay of its reject made of it."""
    chapter = Chapter(load_id=load.id, source=load.source, status=load.status, at=load.at, became="nothing", detail="")
    reject = _reject_at(cursor, load.id, line)
    if reject is not None:
        yield replace(
            chapter,
            became="rejected",
            detail=_reject_words(reject),
            kept_load_id=reject["kept_load_id"],
            kept_source_line=reject["kept_source_line"],
            reject=reject,
        )
        yield from _replay(cursor, reject, line, read)
    elif load.status != "loaded":
        reason = f"{load.status}: {load.reason}" if load.reason else f"the load is {load.status}"
        yield replace(chapter, detail=reason)
    elif load.superseded_by is not None:
        yield replace(chapter, became="reloaded", detail=f"load {load.superseded_by} brought this content anew")
    elif read is not None and read.line.kind != "call":
        yield _other_chapter(cursor, chapter, load, line, read.line)
    else:
        yield _typed_chapter(cursor, chapter, load, line, read)


def _other_chapter(cursor: Cursor, chapter: Chapter, load: KnownLoad, line: int, found: Reread) -> Chapter:
    """Return what became of a line that today's layout does not read as a call."""
    call = _call_at(cursor, load, line)
    if call is not None:
        place = replace(chapter, became="loaded", partition=call.partition, record_key=call.record_key)
        return replace(place, detail=f"into {call.partition}; read again today it is {found.code or found.kind}")
    if found.kind == "filtered":
        return replace(chapter, became="filtered", detail="the layout says that it is no call")
    if found.kind == "rejected":
        return replace(chapter, became="unknown", detail=f"read again it is {found.code}, and the books have no reject")
    return replace(chapter, became="no record", detail=found.kind)


def _typed_chapter(cursor: Cursor, chapter: Chapter, load: KnownLoad, line: int, read: RecordRead | None) -> Chapter:
    kept = read.kept if read else _call_at(cursor, load, line)
    if kept is None:
        if read is None:
            return replace(chapter, became="unknown", detail="neither a call nor a reject of this load has this line")
        return replace(chapter, became="missing", detail="no call has its key: it was deleted; run the source again")
    if (kept.load_id, kept.source_line) == (load.id, line):
        place = replace(chapter, partition=kept.partition, record_key=kept.record_key)
        if kept.differs:
            return replace(place, became="changed", detail=f"into {kept.partition}; its values were changed since")
        return replace(place, became="loaded", detail=f"into {kept.partition}")
    whose = _whose(cursor, load, kept)
    chapter = replace(chapter, kept_load_id=kept.load_id, kept_source_line=kept.source_line)
    on_conflict = read.layout.on_conflict if read else "reject"
    if kept.differs and on_conflict == "reject":
        return replace(chapter, became="missing", detail=f"{whose} has its key and other values; run the source again")
    if kept.differs and on_conflict == "replace":
        return replace(chapter, became="replaced", detail=f"by {whose}")
    return replace(chapter, became="duplicate", detail=f"of {whose}" + (", with other values" if kept.differs else ""))


def _whose(cursor: Cursor, load: KnownLoad, kept: Kept) -> str:
    if kept.load_id == load.id:
        return f"line {kept.source_line} of the same source"
    names = [other.source for other in find_loads(cursor, "load_of_id", load_id=kept.load_id)]
    return f"load {kept.load_id}, line {kept.source_line}" + "".join(f" ({name})" for name in names)


def _reject_at(cursor: Cursor, load_id: int, line: int) -> dict[str, Any] | None:
    cursor.execute(query("reject_at"), {"load_id": load_id, "source_line": line})
    names = [column.name for column in cursor.description or ()]
    return next((dict(zip(names, row, strict=True)) for row in cursor.fetchall()), None)


def _reject_words(reject: Mapping[str, Any]) -> str:
    where = f"{reject['field']}: " if reject["field"] else ""
    said = f"reject {reject['id']}, {where}{reject['code']}: {reject['message']}; {reject['state']}"
    if reject["replayed_by"] is not None:
        said += f" by load {reject['replayed_by']}"
    if reject["settled_at"] is not None:
        by = f" by {reject['settled_by']}" if reject["settled_by"] else ""
        said += f" at {reject['settled_at'].isoformat(sep=' ', timespec='seconds')}{by}"
    if reject["note"]:
        said += f" ({reject['note']})"
    return said + (f"; the same bytes as reject {reject['same_as']}" if reject["same_as"] else "")


def _replay(cursor: Cursor, reject: Mapping[str, Any], line: int, read: RecordRead | None) -> Iterator[Chapter]:
    """Yield what the replay that settled a reject made of the record; another load of its source speaks for itself."""
    if reject["replayed_by"] is None:
        return
    for load in find_loads(cursor, "load_of_id", load_id=reject["replayed_by"]):
        if load.replays is None:
            continue
        chapter = Chapter(
            load_id=load.id, source=load.source, status=load.status, at=load.at, became="unknown", detail=""
        )
        kept = _call_at(cursor, load, line) or (read.kept if read else None)
        if kept is None:
            yield replace(
                chapter, detail="settled there; its call is not at this line: it was a duplicate, or of a twin"
            )
        elif kept.load_id == load.id:
            place = replace(chapter, partition=kept.partition, record_key=kept.record_key)
            yield replace(place, became="loaded", detail=f"into {kept.partition}, from line {kept.source_line}")
        else:
            found = replace(chapter, kept_load_id=kept.load_id, kept_source_line=kept.source_line)
            yield replace(found, became="duplicate", detail=f"of {_whose(cursor, load, kept)}")


def _call_at(cursor: Cursor, load: KnownLoad, line: int) -> Kept | None:
    """Return the call that a load brought from a line: its partitions are looked through."""
    cursor.execute(query("relations_of_load"), {"load_id": load.id, "call_table": load.call_table})
    for schema, name in cursor.fetchall():
        cursor.execute(query("call_at", table=sql.Identifier(schema, name)), {"load_id": load.id, "source_line": line})
        for partition, key in cursor.fetchall():
            return Kept(load_id=load.id, source_line=line, partition=partition, record_key=key)
    return None
