"""Seal: make a staged table ready to be published, as soon as its blocks are there.

What is new for the call table is settled, indexed, summed and analyzed, ready to be attached; what belongs into
partitions that exist is settled and compared with them instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from psycopg2 import errors as pg_errors
from psycopg2 import sql

from trunkline.database.queries import Queries
from trunkline.loading.catalog import Partition, relations_of
from trunkline.loading.comparing import compare_early, forget_comparison, states_of
from trunkline.loading.expressions import measures, same_key, summed
from trunkline.loading.staged_tables import STAGING_SCHEMA, StagedTable, aside_table, repeats_table
from trunkline.loading.tables import CallTable, identifiers

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.books.writing import OpenLoad

query = Queries("loading")


def hurry_sealing(cursor: Cursor) -> None:
    """Sort indexes and compare keys in memory and sample little, until the caller's transaction ends."""
    # A hundredth of the usual sample, 300 calls: a tenth took as long as the index of a day of 20,000 calls, a
    # thirtieth a fifth of it.  Autovacuum looks closer soon after the table is attached.
    cursor.execute(
        "set local maintenance_work_mem = '128MB'; set local work_mem = '32MB'; set local default_statistics_target = 1"
    )


def seal(
    cursor: Cursor,
    table: CallTable,
    load: OpenLoad,
    staged: StagedTable,
    *,
    on_conflict: str,
    partitions: Sequence[Partition],
) -> StagedTable:
    """
    Make a staged table ready to be published, in the caller's transaction, and return it as it is then.

    Args:
        partitions: Those that the call table has; if one of them is gone by then, the publish notices.
    """
    relations = relations_of(cursor, table, partitions, staged)
    state = None
    # A reload takes calls out before it publishes, and what replaces calls has to find them as they are then.
    if relations and not load.reloads and on_conflict != "replace":
        state = states_of(cursor, {staged.relation: relations})[staged.relation]
    if state is None:
        make_attachable(cursor, table, load.load_id, staged, on_conflict=on_conflict)
        return mark_sealed(cursor, load.load_id, staged)
    if _has_repeats(cursor, table, staged):
        _settle(cursor, table, load.load_id, staged, on_conflict=on_conflict)
    all_new = compare_early(cursor, table, load.load_id, staged, on_conflict=on_conflict)
    return mark_sealed(cursor, load.load_id, staged, compared_with=state, all_new=all_new)


def mark_sealed(
    cursor: Cursor, load_id: int, staged: StagedTable, *, compared_with: str | None = None, all_new: bool = False
) -> StagedTable:
    """Note in the register that a staged table is ready to be published, and return it as it is then."""
    sealed = replace(staged, sealed=True, compared_with=compared_with, all_new=all_new)
    cursor.execute(
        query("mark_sealed"),
        {
            "load_id": load_id,
            "relation": staged.relation,
            "compared_with": compared_with,
            "all_new": all_new,
        },
    )
    return sealed


def make_attachable(cursor: Cursor, table: CallTable, load_id: int, staged: StagedTable, *, on_conflict: str) -> None:
    """
    Make a staged table what a partition must be.

    Calls whose key came more than once in the source are set aside only where the unique index says so:
    looking for them without need costs more than the index (1.6 to 3.9 s per 2,000,000 calls).
    """
    cursor.execute("savepoint before_index")
    try:
        index(cursor, table, staged)
    except pg_errors.UniqueViolation:
        cursor.execute("rollback to savepoint before_index")
        _settle(cursor, table, load_id, staged, on_conflict=on_conflict)
        index(cursor, table, staged)
    watch(cursor, staged)
    sum_up(cursor, table, load_id, staged)
    analyze(cursor, table, staged)


def _has_repeats(cursor: Cursor, table: CallTable, staged: StagedTable) -> bool:
    names = {"staged": staged.identifier, "key_columns": identifiers(table.key_columns)}
    cursor.execute(query("has_repeats", **names))
    row = cursor.fetchone()
    return bool(row and row[0])


def _settle(cursor: Cursor, table: CallTable, load_id: int, staged: StagedTable, *, on_conflict: str) -> None:
    settle_source(
        cursor,
        table,
        staged.identifier,
        aside=aside_table(load_id),
        repeats=repeats_table(load_id),
        on_conflict=on_conflict,
    )


def reopen(cursor: Cursor, load_id: int, staged: StagedTable) -> None:
    """Take back what made a staged table ready, all but the repeats that were set aside: more calls come into it."""
    cursor.execute(query("mark_open"), {"load_id": load_id, "relation": staged.relation})
    if staged.compared_with is not None:
        forget_comparison(cursor, load_id, staged)
    else:
        cursor.execute(query("drop_sums"), {"relation": staged.relation})
        cursor.execute(query("drop_index", index=sql.Identifier(STAGING_SCHEMA, index_name(staged.relation))))
        cursor.execute(query("forget_no_change", table=staged.identifier))


def analyze(cursor: Cursor, table: CallTable, staged: StagedTable) -> None:
    """Let the planner know what was staged."""
    cursor.execute(query("analyze_relation", relation=staged.identifier, columns=identifiers(table.value_columns)))


def sum_up(cursor: Cursor, table: CallTable, load_id: int, staged: StagedTable) -> None:
    """Sum a staged table into the books' side of the balance, in groups, twice as slow, only where needed."""
    names = {"staged": staged.identifier, **summed(table, "s")}
    values = {"load_id": load_id, "relation": staged.relation}
    cursor.execute(query("sum_one_currency", **names), values)
    if not cursor.rowcount:
        cursor.execute(query("sum_staged", **names), values)


def watch(cursor: Cursor, staged: StagedTable) -> None:
    """Have changes noticed once a staged table is a partition: the parent's trigger does not fire for its name."""
    if staged.lower is not None:
        cursor.execute(query("forget_on_change", table=staged.identifier))


def index_name(relation: str) -> str:
    """Return the name of the unique index of a staged table or a partition."""
    return f"{relation}_key"


def index(cursor: Cursor, table: CallTable, staged: StagedTable) -> None:
    """Build the unique index of a staged table; fails where two calls have one key."""
    cursor.execute(
        query(
            "index_staged",
            name=sql.Identifier(index_name(staged.relation)),
            staged=staged.identifier,
            key_columns=identifiers(table.key_columns),
        )
    )


def settle_source(
    cursor: Cursor,
    table: CallTable,
    staged: sql.Identifier,
    *,
    aside: sql.Identifier,
    repeats: sql.Identifier,
    on_conflict: str,
) -> None:
    """Move calls whose key came more than once in the source from *staged* to *repeats*, noted in *aside*."""
    cursor.execute(
        query(
            "settle_source",
            staged=staged,
            aside=aside,
            repeats=repeats,
            key_columns=identifiers(table.key_columns),
            s_key_columns=identifiers(table.key_columns, "s"),
            same_key=same_key(table, "s", "r"),
            s_values=identifiers(table.value_columns, "s"),
            k_values=identifiers(table.value_columns, "k"),
            direction=sql.SQL("desc" if on_conflict == "replace" else "asc"),
            **measures(table, "s"),
        ),
        {"on_conflict": on_conflict},
    )
