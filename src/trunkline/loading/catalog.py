"""What PostgreSQL's catalog says of a call table: its partitions and their bounds, and whether it is replicated."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from trunkline.database.queries import Queries
from trunkline.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.loading.staged_tables import StagedTable
    from trunkline.loading.tables import CallTable

query = Queries("loading")


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
    """A partition of the call table, as it is: bounds None where the call table is not partitioned."""

    oid: int
    lower: datetime | None
    upper: datetime | None


def partitions_of(cursor: Cursor, table: CallTable) -> list[Partition]:
    """Return the partitions that the call table has."""
    cursor.execute(query("partitions"), {"call_table": table.qualified})
    return [Partition(oid=oid, lower=lower, upper=upper) for oid, _, _, lower, upper in cursor.fetchall()]


def overlap(partition: Partition, staged: StagedTable) -> bool:
    """Tell whether calls of a staged table may belong into a partition."""
    if partition.lower is None or partition.upper is None or staged.lower is None or staged.upper is None:
        return True
    return partition.lower < staged.upper and staged.lower < partition.upper


def first_days(partitions: Iterable[Partition]) -> set[date]:
    """Return the first days of partitions."""
    return {partition.lower.date() for partition in partitions if partition.lower is not None}


def is_replicated(cursor: Cursor, table: CallTable) -> bool:
    """Tell whether the table is in a logical publication: rows of attached tables do not reach subscribers."""
    cursor.execute(query("is_published_table"), {"call_table": table.qualified})
    row = cursor.fetchone()
    return bool(row and row[0])


def oid_of(cursor: Cursor, qualified: str) -> int:
    """Return the number of a relation."""
    cursor.execute("select %s::regclass::oid", (qualified,))
    row = cursor.fetchone()
    if row is None:
        raise DatabaseError(f"{qualified} is not there")
    return int(row[0])


def relations_of(cursor: Cursor, table: CallTable, partitions: Sequence[Partition], staged: StagedTable) -> list[int]:
    """Return the numbers of the relations that calls of a staged table may belong into, of those that are there."""
    if not table.is_partitioned:
        return [oid_of(cursor, table.qualified)]
    return [partition.oid for partition in partitions if overlap(partition, staged)]
