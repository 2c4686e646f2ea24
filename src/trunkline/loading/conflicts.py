"""Conflicts: records whose key is loaded with other values, kept among the rejects with their original bytes.

There may be as many of them as records, in a source of corrections say, so they are never all in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, tee
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from psycopg2.extensions import cursor as plain_cursor

from trunkline.database.queries import Queries
from trunkline.loading.staged_tables import aside_table
from trunkline.loading.staging import copy_rejects

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.books.writing import ReadRaw

query = Queries("loading")

AT_ONCE = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """A record whose key is loaded with other values, and where the call came from that was kept."""

    source_line: int
    kept_load_id: int
    kept_source_line: int


def count_conflicts(cursor: Cursor, load_id: int) -> int:
    """Return how many records of a load are set aside to be rejected."""
    cursor.execute(query("count_conflicts", aside=aside_table(load_id)))
    return sum(count for (count,) in cursor.fetchall())


def each_conflict(cursor: Cursor, load_id: int, *, limit: int | None = None) -> Iterator[Conflict]:
    """Yield the conflicts of a load by source line, from a cursor on the server; the transaction stays open."""
    with cursor.connection.cursor(f"conflicts_{load_id}", cursor_factory=plain_cursor) as held:
        held.itersize = AT_ONCE
        held.execute(query("conflicts", aside=aside_table(load_id)), {"limit": limit})
        for line, kept_load_id, kept_source_line in held:
            yield Conflict(source_line=line, kept_load_id=kept_load_id, kept_source_line=kept_source_line)


def reject_conflicts(cursor: Cursor, load_id: int, conflicts: Iterable[Conflict], read_raw: ReadRaw) -> None:
    """Keep *conflicts*, which come by source line, among the rejects, with the original bytes of the records."""
    told, asked = tee(conflicts)
    records = zip(told, read_raw(conflict.source_line for conflict in asked), strict=True)
    while some := list(islice(records, AT_ONCE)):
        _copy(cursor, load_id, [conflict for conflict, _ in some], [record for _, record in some])


def _copy(cursor: Cursor, load_id: int, conflicts: list[Conflict], records: list[tuple[int, bytes]]) -> None:
    copy_rejects(
        cursor,
        load_id,
        lines=np.array([conflict.source_line for conflict in conflicts], dtype=np.int64),
        offsets=[offset for offset, _ in records],
        raws=[raw for _, raw in records],
        rest={
            "field": pa.nulls(len(conflicts), pa.string()),
            "code": pa.repeat(pa.scalar("conflict"), len(conflicts)),
            "message": pa.array([_message(conflict) for conflict in conflicts]),
            "kept_load_id": pa.array([conflict.kept_load_id for conflict in conflicts], pa.int64()),
            "kept_source_line": pa.array([conflict.kept_source_line for conflict in conflicts], pa.int64()),
        },
    )


def _message(conflict: Conflict) -> str:
    kept = f"load {conflict.kept_load_id}, line {conflict.kept_source_line}"
    return f"the call of {kept} has the same key and other values, and was kept"
