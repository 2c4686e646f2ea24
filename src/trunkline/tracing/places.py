"""Where the records of a source are in the call table: compared by SQL with its calls, as copied to a temporary table.

Nothing is written but temporary tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from psycopg2 import sql

from trunkline.books.account import format_amount, whole_or_text
from trunkline.database.queries import Queries
from trunkline.loading.expressions import measures, same_key
from trunkline.loading.rehearsal import STAGED, bounds_of
from trunkline.loading.tables import CallTable, identifiers
from trunkline.tracing.findings import MOST_EXAMPLES, Disagreement, Findings

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

query = Queries("verifying")

PLACES = sql.Identifier("pg_temp", "trunkline_places")
HERE = ("values_differ", "two_places")  # at the load's own line, but not as it should be

_DETAILS = {
    "missing": "is neither in the call table nor among the rejects",
    "other_values": "is not there: the call of load {load}, line {line} has its key and other values",
    "values_differ": "the call that the load brought from this line has other values now: {columns}",
    "two_places": "is in the call table and among the rejects",
}


@dataclass(kw_only=True, slots=True)
class Sums:
    """Records, their seconds, and their cost by currency."""

    count: int = 0
    duration_s: Decimal = Decimal(0)
    cost: dict[str, Decimal] = field(default_factory=dict)

    def add(self, currency: str, count: int, duration_s: Decimal, cost: Decimal) -> None:
        """Add what one row of a query by currency says."""
        self.count += count
        self.duration_s += duration_s
        self.cost[currency] = self.cost.get(currency, Decimal(0)) + cost

    def __add__(self, other: Sums) -> Sums:
        both = Sums(count=self.count + other.count, duration_s=self.duration_s + other.duration_s, cost=dict(self.cost))
        for currency, amount in other.cost.items():
            both.add(currency, 0, Decimal(0), amount)
        return both

    def to_text(self) -> str:
        """Return seconds and amounts, exactly; currencies that sum to nothing are left out."""
        amounts = [format_amount(amount, name) + f" {name}" for name, amount in sorted(self.cost.items()) if amount]
        return ", ".join([f"{whole_or_text(self.duration_s)} s", *(amount.rstrip() for amount in amounts)])


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """
    The typed records of a source by place.

    Attributes:
        places: By the names of the query ``name_places``; ``loaded`` are those that are where they should be.
        rows: What the load has in the call table, which the database counts without regard to the source.
        duplicates_in_source: Those duplicates whose like stands in the same source.
    """

    places: Mapping[str, Sums]
    rows: Sums
    duplicates_in_source: int

    def count(self, place: str) -> int:
        """Return how many records are in *place*."""
        return self.places[place].count if place in self.places else 0

    def sums(self, place: str) -> Sums:
        """Return what the records in *place* sum to."""
        return self.places.get(place, Sums())


def place_records(
    cursor: Cursor, table: CallTable, load_id: int, *, typed: int, on_conflict: str, findings: Findings
) -> Placed:
    """
    Find the place of each of the *typed* records that were copied to the rehearsal's table.

    Args:
        load_id: The load that brought them, whose number they carry.
        findings: Where what is wrong with single records is noted.
    """
    parts: dict[str, sql.Composable] = {
        "staged": STAGED.identifier,
        "table": table.identifier,
        "places": PLACES,
        "same_key": same_key(table, "s", "k"),
        "bounds": bounds_of(cursor, table),
        "s_values": identifiers(table.value_columns, "s"),
        "k_values": identifiers(table.value_columns, "k"),
    }
    cursor.execute(query("analyze_staged", **parts))
    cursor.execute(query("note_places", **parts, **measures(table, "s")), {"load_id": load_id})
    cursor.execute(query("name_places", **parts), {"on_conflict": on_conflict})
    cursor.execute(query("count_places", **parts))
    places: dict[str, Sums] = {}
    for place, *sums in cursor.fetchall():
        places.setdefault(place, Sums()).add(*sums)
    places["loaded"] = Sums(count=typed - sum(sums.count for sums in places.values()))
    rows = Sums()
    cursor.execute(query("rows_of_load", **parts, **measures(table, "k")), {"load_id": load_id})
    for row in cursor.fetchall():
        rows.add(*row)
    for place in _DETAILS:
        if place in places:
            findings.add(*_examples(cursor, table, place, parts), count=places[place].count)
    here = sum(places[place].count for place in ("loaded", *HERE) if place in places)
    _note_extra(cursor, load_id, rows.count - here, parts, findings)
    repeats = _repeats(cursor, table, on_conflict, parts) if "duplicate" in places else 0
    return Placed(places=places, rows=rows, duplicates_in_source=repeats)


def _examples(cursor: Cursor, table: CallTable, place: str, parts: Mapping[str, sql.Composable]) -> list[Disagreement]:
    cursor.execute(query("first_of_place", **parts), {"place": place, "limit": MOST_EXAMPLES})
    found = []
    for source_line, load, line in cursor.fetchall():
        columns = ", ".join(_columns(cursor, table, source_line, parts)) if place == "values_differ" else ""
        detail = _DETAILS[place].format(load=load, line=line, columns=columns)
        found.append(Disagreement(kind=place, source_line=source_line, detail=detail))
    return found


def _columns(cursor: Cursor, table: CallTable, source_line: int, parts: Mapping[str, sql.Composable]) -> list[str]:
    columns = sql.SQL(", ").join(
        sql.SQL("case when {} is distinct from {} then {} end").format(
            sql.Identifier("s", name), sql.Identifier("k", name), sql.Literal(name)
        )
        for name in table.value_columns
    )
    cursor.execute(query("columns_that_differ", columns=columns, **parts), {"source_line": source_line})
    return [name for (names,) in cursor.fetchall() for name in names]


def _note_extra(
    cursor: Cursor, load_id: int, extra: int, parts: Mapping[str, sql.Composable], findings: Findings
) -> None:
    if extra <= 0:
        return
    cursor.execute(query("extra_rows", **parts), {"load_id": load_id, "limit": MOST_EXAMPLES})
    detail = "the load has a call of this line in the table that the source does not have there"
    examples = [Disagreement(kind="extra_row", source_line=line, detail=detail) for (line,) in cursor.fetchall()]
    findings.add(*examples, count=extra)


def _repeats(cursor: Cursor, table: CallTable, on_conflict: str, parts: Mapping[str, sql.Composable]) -> int:
    before = sql.SQL(">" if on_conflict == "replace" else "<")
    cursor.execute(query("count_repeats", **{**parts, "same_key": same_key(table, "e", "s")}, before=before))
    return sum(count for (count,) in cursor.fetchall())
