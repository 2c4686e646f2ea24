"""What earlier sources of a check would have loaded: later ones are compared with it as with calls in the table.

Kept in temporary tables of the session, which has to be the same one for all sources of a check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

from psycopg2 import sql

from trunkline.database.queries import Queries
from trunkline.loading.expressions import same_key
from trunkline.loading.rehearsal import ASIDE, REPEATS, STAGED
from trunkline.loading.tables import CallTable, identifiers

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.books.account import Books
    from trunkline.books.writing import Terms

query = Queries("foreseeing")

_TEMPORARY = "pg_temp"


Identity = tuple[str, ...]
"""Call table, system, fingerprints of layout and key, and content: what two sources share of which one is unchanged."""


def _identity(terms: Terms, content_hash: str) -> Identity:
    """Return what would make a source unchanged since another."""
    return (terms.call_table, terms.system, terms.layout_fingerprint, terms.key_fingerprint, content_hash)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rehearsal:
    """
    A source that was checked and would be loaded; its calls are still in the rehearsal's tables.

    Attributes:
        table, is_there: The call table as it is or would be made.
        reloads: Loads whose calls it would take back.
        starts: First days of the partitions that its calls and their twins fall into; None where there are none.
        books: As they would be.
    """

    table: CallTable
    is_there: bool
    terms: Terms
    content_hash: str
    on_conflict: str
    reloads: Sequence[int]
    starts: set[date | None]
    books: Books


@dataclass(kw_only=True, slots=True)
class Foreseen:
    """What the sources of a check would have loaded so far; their loads have numbers below 0."""

    count: int = 0
    _waiting: Rehearsal | None = None
    _numbers: dict[str, int] = field(default_factory=dict)  # call table to that of its temporary table
    _taken_back: dict[str, list[int]] = field(default_factory=dict)
    _starts: dict[str, set[date]] = field(default_factory=dict)
    _touched: dict[str, set[date | None]] = field(default_factory=dict)
    _known: dict[Identity, Rehearsal] = field(default_factory=dict)
    _loads: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)

    @property
    def load_id(self) -> int:
        """The number of the load of the source that is checked now."""
        return -self.count - 1

    def wait(self, rehearsal: Rehearsal) -> None:
        """Remember a source that would be loaded; nothing is done before another source is checked."""
        self._waiting = rehearsal

    def settle(self, cursor: Cursor) -> bool:
        """Keep what the last source would have loaded, and tell whether there was one; the caller commits."""
        rehearsal, self._waiting = self._waiting, None
        if rehearsal is None:
            return False
        table = rehearsal.table
        if rehearsal.is_there or self.knows(table):
            self._touch(cursor, rehearsal)
        self._numbers.setdefault(table.qualified, len(self._numbers) + 1)
        parts: dict[str, sql.Composable] = {
            "foreseen": self._foreseen(table),
            "staged": STAGED.identifier,
            "aside": ASIDE,
            "repeats": REPEATS,
            "same_key": same_key(table, "s", "k"),
            "columns": identifiers(table.columns),
            "s_columns": identifiers(table.columns, "s"),
        }
        cursor.execute(query("make_foreseen", **parts))
        cursor.execute(query("drop_taken_back", **parts), {"load_ids": list(rehearsal.reloads)})
        if rehearsal.on_conflict == "replace":
            cursor.execute(query("drop_replaced", **parts))
        cursor.execute(query("add_foreseen", **parts))
        self._remember(rehearsal)
        self._see(cursor, rehearsal)
        cursor.execute(query("drop_rehearsed", **parts))
        return True

    def _touch(self, cursor: Cursor, rehearsal: Rehearsal) -> None:
        """Let no source count as unchanged whose calls are in a partition that this one would take calls out of."""
        table = rehearsal.table
        replaces = rehearsal.on_conflict == "replace"
        if not (replaces or rehearsal.reloads):
            return
        start: sql.Composable = sql.SQL("null::date")
        if table.is_partitioned:
            time = sql.Identifier("k", str(table.event_time))
            start = sql.SQL("date_trunc({}, {})::date").format(sql.Literal(table.partition), time)
        parts = {"seen": self.seen(table).identifier, "staged": STAGED.identifier, "aside": ASIDE, "start": start}
        cursor.execute(
            query("touched", **parts, same_key=same_key(table, "s", "k")),
            {"load_ids": list(rehearsal.reloads), "replaces": replaces},
        )
        touched = {day for (day,) in cursor.fetchall()}
        self._touched.setdefault(table.qualified, set()).update(touched)
        for identity, other in list(self._known.items()):
            if other.table.qualified == table.qualified and other.starts & touched:
                del self._known[identity]

    def _remember(self, rehearsal: Rehearsal) -> None:
        name, terms = rehearsal.table.qualified, rehearsal.terms
        self._known[_identity(terms, rehearsal.content_hash)] = rehearsal
        self._loads.setdefault((name, terms.system, rehearsal.content_hash), []).append(self.load_id)
        self._taken_back.setdefault(name, []).extend(rehearsal.reloads)
        self._starts.setdefault(name, set()).update(start for start in rehearsal.starts if start)
        self.count += 1

    def _see(self, cursor: Cursor, rehearsal: Rehearsal) -> None:
        table = rehearsal.table
        parts: dict[str, sql.Composable] = {
            "seen": self.seen(table).identifier,
            "foreseen": self._foreseen(table),
            "table": table.identifier,
            "columns": identifiers(table.columns),
            "k_columns": identifiers(table.columns, "k"),
            "same_key": same_key(table, "f", "k"),
            "taken_back": sql.SQL("{}::bigint[]").format(sql.Literal(self._taken_back[table.qualified])),
        }
        cursor.execute(query("drop_seen", **parts))
        cursor.execute(query("see_with_table" if rehearsal.is_there else "see_alone", **parts))

    def _foreseen(self, table: CallTable) -> sql.Identifier:
        return sql.Identifier(_TEMPORARY, f"trunkline_foreseen_{self._numbers[table.qualified]}")

    def knows(self, table: CallTable) -> bool:
        """Tell whether an earlier source would have loaded into *table*."""
        return table.qualified in self._numbers

    def seen(self, table: CallTable) -> CallTable:
        """Return *table* as it would be: itself, or the view that shows it so."""
        if not self.knows(table):
            return table
        return replace(table, schema=_TEMPORARY, name=f"trunkline_seen_{self._numbers[table.qualified]}")

    def books_of(self, terms: Terms, content_hash: str) -> Books | None:
        """Return the books of an earlier source since which one of this content and terms would be unchanged."""
        known = self._known.get(_identity(terms, content_hash))
        return known.books if known else None

    def touches(self, cursor: Cursor, table: CallTable, load_id: int) -> bool:
        """Tell whether calls would be taken out of a partition with calls of a load, so that it counts no more."""
        cursor.execute(query("days_of_load"), {"load_id": load_id})
        return not self._touched.get(table.qualified, set()).isdisjoint(day for (day,) in cursor.fetchall())

    def starts_of(self, table: CallTable) -> set[date]:
        """Return the first days of the partitions that *table* would have besides its own."""
        return self._starts.get(table.qualified, set())

    def loads_of(self, terms: Terms, content_hash: str) -> tuple[int, ...]:
        """Return the loads that would have brought this content to the call table."""
        return tuple(self._loads.get((terms.call_table, terms.system, content_hash), ()))
