"""The read side of the books: loads and rejects as people and programs list them.  Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, get_args

from trunkline.books.account import Books, CacheCounts, Seconds, Status, Totals
from trunkline.database.errors import translated
from trunkline.database.queries import Queries
from trunkline.errors import UsageError

if TYPE_CHECKING:
    from psycopg2.sql import Composable

    from trunkline.books.gaps import Count
    from trunkline.database.connection import Connection

query = Queries("ledger", "sequences")

_KEPT = tuple(status for status in get_args(Status) if status != "unchanged")
State = Literal["open", "replayed", "discarded"]
"""What was done about a reject: nothing yet, sent through the pipeline again, or given up."""

LIMIT = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadEntry:
    """
    A load as the books remember it.

    Attributes:
        books: Its account; the status is never ``unchanged``, which is a finding of a run.
        system: The switch, PBX or portal that wrote the source; "" where none was named.
        call_table: Qualified and quoted.
        tz_source: How the zone was known: ``stated`` by the layout, ``configured`` by the user, or "".
        content_hash: BLAKE3 of the source as stored, in hex; None until all of it was read.
        bytes: Its size as stored.
        replaced: Calls that took the place of others of the same key; counted within loaded.
        published_seq: Its place in the order in which loads became visible.
        reloads, superseded_by: The load that it replaced, or was replaced by.
        replays, replayed_by: The load whose rejects it sent again; the loads that sent its own again.
    """

    id: int
    books: Books
    system: str
    call_table: str
    tz_source: str
    content_hash: str | None
    bytes: int | None
    replaced: int
    started_at: datetime
    finished_at: datetime | None
    published_seq: int | None
    reloads: int | None
    superseded_by: int | None
    replays: int | None
    replayed_by: list[int]
    program_version: str

    def to_dict(self) -> dict[str, Any]:
        """Return the books with what else is known of the load, in one flat object."""
        rest = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("id", "books")}
        return self.books.to_dict() | rest


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectEntry:
    """
    A record that was not loaded.

    Attributes:
        source_line: Where it stands, from 1, in the decoded source; *byte_offset* in its decompressed bytes.
        field: The layout's field that was bad; None where the record as a whole was.
        kept_load_id, kept_source_line: Of a conflict: the load and line of the call that was kept.
        same_as: The first reject of the same bytes, if this is not it.
        settled_at, settled_by, replayed_by, note: When and by which role it was replayed, by which load, or discarded,
            and why.
        raw: Its original bytes; None in lists.
    """

    id: int
    load_id: int
    source: str
    source_line: int
    byte_offset: int
    field: str | None
    code: str
    message: str
    state: State
    kept_load_id: int | None
    kept_source_line: int | None
    same_as: int | None
    created_at: datetime
    settled_at: datetime | None = None
    settled_by: str | None = None
    replayed_by: int | None = None
    note: str | None = None
    raw: bytes | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return all attributes by name."""
        return asdict(self)


def list_loads(
    connection: Connection,
    *,
    status: str | None = None,
    layout: str | None = None,
    system: str | None = None,
    source: str | None = None,
    limit: int | None = LIMIT,
) -> list[LoadEntry]:
    """
    Return loads, newest first, at most *limit* of them; a filter that is None lets everything pass.

    Raises:
        UsageError: If no load can have that status.
    """
    if status is not None and status not in _KEPT:
        raise UsageError(f"a load in the books is never {status!r}; expected {', '.join(_KEPT)}")
    filters = {"ids": None, "status": status, "layout": layout, "system": system, "source": source, "limit": limit}
    return [_load_entry(row) for row in _rows(connection, "list_loads", filters)]


def show_load(connection: Connection, load_id: int) -> LoadEntry:
    """
    Return one load.

    Raises:
        UsageError: If there is none of this number.
    """
    entries = show_loads(connection, [load_id])
    if not entries:
        raise UsageError(f"the books have no load {load_id}", hint="'trunkline loads' lists them")
    return entries[load_id]


def show_loads(connection: Connection, load_ids: Sequence[int]) -> dict[int, LoadEntry]:
    """Return those of these loads that there are, by number."""
    filters = dict.fromkeys(("status", "layout", "system", "source", "limit")) | {"ids": list(load_ids)}
    return {row["id"]: _load_entry(row) for row in _rows(connection, "list_loads", filters)}


def list_counts(connection: Connection, *, layout: str | None = None, system: str | None = None) -> list[Count]:
    """Return what switches counted, with what is missing and repeated; a filter that is None lets everything pass."""
    from trunkline.books.gaps import counts_of

    return counts_of(_rows(connection, "list_ranges", {"layout": layout, "system": system}))


@dataclass(frozen=True, kw_only=True, slots=True)
class Which:
    """
    Which rejects are meant: those that pass every filter; one that is None lets everything pass.

    Attributes:
        ids: Numbers of rejects.
        older_than, newer_than: How long ago they were rejected.

    Raises:
        UsageError: If *state* is none that a reject can have.
    """

    load: int | None = None
    code: str | None = None
    field: str | None = None
    state: State | None = None
    ids: tuple[int, ...] | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None

    def __post_init__(self) -> None:
        if self.state is not None and self.state not in get_args(State):
            raise UsageError(f"a reject is never {self.state!r}; expected {', '.join(get_args(State))}")

    def parameters(self) -> dict[str, object]:
        """Return the parameters of the query ``reject_filters``."""
        known: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        return known | {"ids": list(self.ids) if self.ids else None}

    @property
    def is_all(self) -> bool:
        """Whether nothing is filtered."""
        return all(value is None for value in self.parameters().values())


def list_rejects(connection: Connection, which: Which, *, limit: int | None = LIMIT) -> list[RejectEntry]:
    """Return rejects without their bytes, newest load first and in the order of its source, at most *limit* of them."""
    filters = which.parameters() | {"limit": limit}
    rows = _rows(connection, "list_rejects", filters, filters=query("reject_filters"))
    return [RejectEntry(**row) for row in rows]


def count_rejects(connection: Connection, which: Which) -> int:
    """Return how many rejects there are."""
    (row,) = _rows(connection, "count_rejects", which.parameters(), filters=query("reject_filters"))
    return int(row["count"])


def show_reject(connection: Connection, reject_id: int) -> RejectEntry:
    """
    Return one reject with its original bytes.

    Raises:
        UsageError: If there is none of this number.
        DatabaseError: If the role may not read the bytes of rejects.
    """
    rows = _rows(connection, "show_reject", {"reject": reject_id})
    if not rows:
        raise UsageError(f"the books have no reject {reject_id}", hint="'trunkline rejects list' lists them")
    row = rows[0]
    return RejectEntry(**row | {"raw": bytes(row["raw"])})


def _rows(
    connection: Connection, name: str, parameters: Mapping[str, object], **parts: Composable
) -> list[dict[str, Any]]:
    with translated(), connection.cursor() as cursor:
        cursor.execute(query(name, **parts), parameters)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _load_entry(row: dict[str, Any]) -> LoadEntry:
    own = {field.name for field in fields(LoadEntry)} - {"books"}
    return LoadEntry(books=_books(row), **{name: row[name] for name in own})


def _books(row: Mapping[str, Any]) -> Books:
    return Books(
        source=row["source"],
        layout=row["layout"],
        status=row["status"],
        load_id=row["id"],
        read=row["read"],
        loaded=row["loaded"],
        duplicates=row["duplicates"],
        duplicates_in_source=row["duplicates_in_source"],
        rejected=row["rejected"],
        rejected_by=row["rejected_by"],
        filtered=row["filtered"],
        conflicts=row["conflicts"],
        totals=Totals(
            duration_s=row["duration_s"],
            cost={currency: Decimal(amount) for currency, amount in row["cost"].items()},
        ),
        cache=CacheCounts(**{name: row[f"cache_{name}"] for name in CacheCounts.__slots__}),
        seconds=Seconds(**row["seconds"]),
        timezone=row["timezone"],
        currency=row["currency"],
        warnings=tuple(row["warnings"]),
        trailer=row["trailer"],
        reason=row["reason"],
    )
