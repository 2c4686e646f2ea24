"""The staged tables of a load: their names, their register, and dropping them.

Whoever only clears up what others left needs neither numpy nor pyarrow, nor does this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from psycopg2 import sql

from trunkline.database.queries import Queries

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

query = Queries("loading")

STAGING_SCHEMA = "trunkline_staging"


@dataclass(frozen=True, kw_only=True, slots=True)
class StagedTable:
    """
    A staged table of a load.

    Attributes:
        relation: Its name in the staging schema.
        lower, upper: Its partition's bounds; None: the call table is not partitioned.
        sealed: It is ready to be published.
        compared_with: If it was compared early, what the books said of the partitions then; it has no index.
        all_new: Of a compared one: none of its calls was there.
    """

    relation: str
    lower: datetime | None
    upper: datetime | None
    sealed: bool = False
    compared_with: str | None = None
    all_new: bool = False

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(STAGING_SCHEMA, self.relation)

    @property
    def start(self) -> date | None:
        """The first day of its partition."""
        return None if self.lower is None else self.lower.date()


def aside_table(load_id: int) -> sql.Identifier:
    """Return the name of the table of calls that a load sets aside."""
    return sql.Identifier(STAGING_SCHEMA, f"l{load_id}_aside")


def repeats_table(load_id: int) -> sql.Identifier:
    """Return the name of the table of calls whose key came more than once in a load's source."""
    return sql.Identifier(STAGING_SCHEMA, f"l{load_id}_repeats")


def staged_name(load_id: int, start: date | None) -> str:
    """Return the name of the staged table of a load for the partition that begins on *start*."""
    return f"l{load_id}" if start is None else f"l{load_id}_{start:%Y%m%d}"


def staged_tables(cursor: Cursor, load_id: int) -> list[StagedTable]:
    """Return the staged tables of a load, in order of time."""
    cursor.execute(query("staged_tables"), {"load_id": load_id})
    return [
        StagedTable(
            relation=relation, lower=lower, upper=upper, sealed=sealed, compared_with=compared_with, all_new=all_new
        )
        for relation, lower, upper, sealed, compared_with, all_new in cursor.fetchall()
    ]


def drop_stage(cursor: Cursor, load_id: int, *members: int) -> None:
    """Drop all staged tables of a load, with what was summed of *members* that staged into them, in the transaction."""
    staged = [table.identifier for table in staged_tables(cursor, load_id)]
    relations = sql.SQL(", ").join([*staged, aside_table(load_id), repeats_table(load_id)])
    cursor.execute(query("drop_relations", relations=relations))
    cursor.execute(query("forget_staging"), {"load_ids": [load_id, *members]})
