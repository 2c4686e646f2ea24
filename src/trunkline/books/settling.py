"""Rejects with their bytes, and what is done about them: settled by a load that brought them, or given up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trunkline.books.reading import Which
from trunkline.database.connection import LockSpace
from trunkline.database.errors import translated
from trunkline.database.queries import Queries
from trunkline.errors import RefusedError
from trunkline.framing.cutting import SourceForm
from trunkline.framing.dialect import ResolvedDialect

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

query = Queries("rejects", "ledger")

AT_ONCE = 20_000  # records: bounds the memory, and is a block as a file has them


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """
    A load with rejects that are meant.

    Attributes:
        count: Of its rejects, how many.
    """

    load_id: int
    source: str
    system: str
    layout: str
    timezone: str
    tz_source: str
    currency: str
    status: str
    count: int

    @property
    def given_timezone(self) -> str | None:
        """The zone that must be given again, since the layout may not state it; who gave a proved one is not known."""
        was_given = self.tz_source in ("configured", "proved") and "," not in self.timezone
        return self.timezone if was_given else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """A reject with its bytes; without *field*, *code* and *message* where they do not matter."""

    id: int
    source_line: int
    raw: bytes
    field: str | None = None
    code: str = ""
    message: str = ""


def origins(cursor: Cursor, which: Which) -> list[Origin]:
    """Return the loads that have such rejects, the first one first."""
    cursor.execute(query("loads_with_rejects", filters=query("reject_filters")), which.parameters())
    names = list(Origin.__slots__)
    return [Origin(**dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def form_of(cursor: Cursor, load_id: int) -> SourceForm:
    """
    Return how the source of a load was read.

    Raises:
        RefusedError: If nobody knows: the load got a DataFrame that was no file.
    """
    cursor.execute(query("reading_of"), {"load_id": load_id})
    row = cursor.fetchone()
    if row is None:
        raise RefusedError(
            f"load {load_id} did not note how its source was read, so its rejects have no header",
            hint="run the source again",
        )
    preamble, header, dialect = row
    return SourceForm(preamble=bytes(preamble), header=tuple(header), dialect=ResolvedDialect(**dialect))


def lock_replays(cursor: Cursor) -> None:
    """Be the only one who replays, until the transaction ends."""
    cursor.execute(query("one_at_a_time"), {"space": LockSpace.BOOKS})


def rejects_to_replay(cursor: Cursor, load_id: int, which: Which) -> Iterator[list[Rejected]]:
    """Yield the open rejects of a load in the order of its source, at most `AT_ONCE`; nobody else settles them now."""
    return _pages(cursor, "rejects_to_replay", load_id, which)


def rejects_to_export(cursor: Cursor, load_id: int, which: Which) -> Iterator[list[Rejected]]:
    """Yield the rejects of a load in the order of its source, at most `AT_ONCE` at a time."""
    return _pages(cursor, "rejects_to_export", load_id, which)


def _pages(cursor: Cursor, name: str, load_id: int, which: Which) -> Iterator[list[Rejected]]:
    statement = query(name, filters=query("reject_filters"))
    page: list[Rejected] = []
    while True:
        after = {"after_line": page[-1].source_line, "after_id": page[-1].id} if page else {}
        first = {"load_id": load_id, "after_line": -1, "after_id": -1, "at_once": AT_ONCE}
        cursor.execute(statement, which.parameters() | first | after)
        page = [
            Rejected(**dict(zip(Rejected.__slots__, (row[0], row[1], bytes(row[2]), *row[3:]), strict=False)))
            for row in cursor.fetchall()
        ]
        if not page:
            return
        yield page


def settle_replayed(cursor: Cursor, load_id: int, ids: Sequence[int]) -> int:
    """
    Mark rejects as replayed by a load, with all open ones of the same bytes; return how many they were.

    The same bytes are the same call only where they were read alike: by the same layout, header, dialect, zone and
    currency, of the same system, for the same call table.
    """
    cursor.execute(query("settle_replayed"), {"load_id": load_id, "ids": list(ids)})
    return int(cursor.rowcount)


def settle_read_again(cursor: Cursor, load_ids: Sequence[int]) -> None:
    """
    Settle the open rejects of other loads of the contents that these loads brought as a whole.

    Where it is no reject any more, it left through these loads; where it is, only the new reject stays open.
    """
    cursor.execute(query("settle_read_again"), {"load_ids": list(load_ids)})


def count_settled(cursor: Cursor, load_id: int) -> int:
    """Return how many rejects a load settled."""
    cursor.execute(query("count_settled"), {"load_id": load_id})
    return sum(count for (count,) in cursor.fetchall())


def discard_rejects(connection: Connection, which: Which, note: str) -> int:
    """Give open rejects up, for the reason that *note* says, and commit; return how many they were."""
    with translated(), connection.cursor() as cursor:
        parameters = which.parameters() | {"note": note}
        cursor.execute(query("discard", filters=query("reject_filters")), parameters)
        count = int(cursor.rowcount)
        connection.commit()
    return count
