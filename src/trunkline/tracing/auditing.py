"""Verify the books: they balance, and the call tables hold what they say, neither more nor less.

Each call table is compared under its publish lock, so that no load becomes visible in between.  Counted by SQL, and
nothing is written but a temporary table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg2 import sql

from trunkline.database.connection import transaction
from trunkline.database.queries import Queries
from trunkline.loading.expressions import measures
from trunkline.loading.publishing import take_turn
from trunkline.loading.tables import CallTable
from trunkline.tracing.findings import MOST_EXAMPLES, Disagreement, Findings

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.database.connection import Connection
    from trunkline.servers import Warn

query = Queries("auditing")

HELD = sql.Identifier("pg_temp", "trunkline_held")

_OF_BOOKS = ("balance", "blocks", "rejects", "totals", "replays")


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditedTable:
    """A call table that was compared: how many loads brought calls to it, and how many calls it holds."""

    call_table: str
    loads: int
    calls: int


@dataclass(kw_only=True, slots=True)
class Audit:
    """What comparing the books with the call tables showed."""

    tables: list[AuditedTable] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)

    def to_dict(self) -> dict[str, Any]:
        """Return what ``trunkline verify --books --json`` writes."""
        return {
            "status": "disagrees" if self.findings.by_kind else "proved",
            "tables": [{name: getattr(one, name) for name in AuditedTable.__slots__} for one in self.tables],
            "disagreements": dict(sorted(self.findings.by_kind.items())),
            "examples": [one.to_dict() for one in self.findings.in_order()],
        }


def verify_books(connection: Connection, warn: Warn) -> Audit:
    """
    Compare the books with themselves and with every call table, one transaction after the other.

    Needs the privileges of a loader: no load may publish while its call table is compared.

    Raises:
        DatabaseBusyError: If a call table stays locked by another session.
    """
    audit = Audit()
    with transaction(connection) as cursor:
        for name in _OF_BOOKS:
            _look(cursor, audit.findings, name, {})
        cursor.execute(query("all_call_tables"))
        tables = cursor.fetchall()
    for name, schema, relation, event_time, partition, loads in tables:
        if relation is None or partition is None:
            if loads:
                detail = f"the books have {loads} loads, and the table is gone"
                audit.findings.add(Disagreement(kind="table_gone", call_table=name, detail=detail))
            continue
        with transaction(connection) as cursor:
            table = CallTable(
                schema=schema,
                name=relation,
                qualified=name,
                event_time=event_time,
                partition=partition,
                value_types=_columns(cursor, name),
            )
            audit.tables.append(AuditedTable(call_table=name, loads=loads, calls=_compare(cursor, table, audit, warn)))
    return audit


def _columns(cursor: Cursor, name: str) -> dict[str, str]:
    cursor.execute(query("columns_of"), {"name": name})
    return dict(cursor.fetchall())


def _compare(cursor: Cursor, table: CallTable, audit: Audit, warn: Warn) -> int:
    """Compare a call table with the books, and return how many calls it holds."""
    take_turn(cursor, table, warn)
    columns = {"name": table.qualified, "columns": list(table.key_columns)}
    cursor.execute(query("has_key_index"), columns)
    if cursor.fetchall() != [(True,)]:
        detail = (
            f"no valid unique index on ({', '.join(table.key_columns)}): nothing keeps a call from being there twice"
        )
        audit.findings.add(Disagreement(kind="key_index", call_table=table.qualified, detail=detail))
    cursor.execute(query("note_held", held=HELD, table=table.identifier, **measures(table, None)))
    for kind, parameters in _OF_TABLE.items():
        _look(cursor, audit.findings, kind, {"name": table.qualified, **parameters})
    cursor.execute(query("count_held", held=HELD))
    return sum(int(calls) for (calls,) in cursor.fetchall())


# Kinds of disagreement, and what their query is told.
_OF_TABLE: Mapping[str, Mapping[str, object]] = {
    "row_without_load": {},
    "load_without_rows": {"without": True},
    "loaded_calls": {"without": False},
    "loaded_sums": {},
    "partition_gone": {},
}
_SHARED = {"load_without_rows": "loaded_calls"}  # kinds that a query of another name finds


def _look(cursor: Cursor, findings: Findings, kind: str, parameters: Mapping[str, object]) -> None:
    cursor.execute(query(_SHARED.get(kind, kind), held=HELD), {"limit": MOST_EXAMPLES} | dict(parameters))
    rows = cursor.fetchall()
    if rows:
        examples = [
            Disagreement(
                kind=kind,
                load_id=load_id,
                call_table=str(parameters["name"]) if "name" in parameters else None,
                detail=f"{what}: {books} in the books, {found} found",
            )
            for load_id, what, books, found, _ in rows
        ]
        findings.add(*examples, count=int(rows[0][4]))
