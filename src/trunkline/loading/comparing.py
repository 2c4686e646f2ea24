"""Compare staged calls with those of the call table: which are there already, and with which values.

Comparing early, before the call table is locked, is done side by side while other blocks are still parsed.  It stands
as long as the books say the same of the partitions; else the publish compares again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from psycopg2 import sql

from trunkline.database.queries import Queries
from trunkline.loading.expressions import measures, same_key
from trunkline.loading.staged_tables import aside_table
from trunkline.loading.tables import CallTable, identifiers

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.loading.staged_tables import StagedTable

query = Queries("loading")

ALL, _DIFFERING = sql.SQL("true"), sql.SQL("differs")


def twins_of(
    table: CallTable, staged: sql.Identifier, aside: sql.Identifier, bounds: sql.Composable
) -> dict[str, sql.Composable]:
    """Return what names staged calls, the calls of the same key in the table, and where they are noted."""
    return {
        "aside": aside,
        "staged": staged,
        "table": table.identifier,
        "same_key": same_key(table, "s", "k"),
        "bounds": bounds,
    }


def twins_of_staged(table: CallTable, load_id: int, staged: StagedTable) -> dict[str, sql.Composable]:
    """Return the same for a staged table of a load."""
    return twins_of(table, staged.identifier, aside_table(load_id), bounds_within(table, staged))


def bounds_within(table: CallTable, staged: StagedTable) -> sql.Composable:
    """Return the condition on ``k`` that lets the planner leave out the other partitions."""
    if staged.lower is None:
        return sql.SQL("true")
    return sql.SQL("k.{time} >= {lower} and k.{time} < {upper}").format(
        time=sql.Identifier(str(table.event_time)),
        lower=sql.Literal(staged.lower),
        upper=sql.Literal(staged.upper),
    )


def compare(
    cursor: Cursor, table: CallTable, twins: dict[str, sql.Composable], *, repeats: sql.Identifier, on_conflict: str
) -> None:
    """Note the staged calls whose key the call table has already, and what that means for their repeats."""
    which = sql.SQL("not differs") if on_conflict == "replace" else ALL
    _note_twins(cursor, table, twins, which, on_conflict=on_conflict)
    compare_repeats(cursor, table, twins, repeats=repeats, on_conflict=on_conflict)


def _note_twins(
    cursor: Cursor, table: CallTable, twins: dict[str, sql.Composable], which: sql.Composable, *, on_conflict: str
) -> None:
    cursor.execute(
        query("compare_with_table", **twins, **_values(table), **measures(table, "s"), which=which),
        {"on_conflict": on_conflict},
    )


def compare_repeats(
    cursor: Cursor, table: CallTable, twins: dict[str, sql.Composable], *, repeats: sql.Identifier, on_conflict: str
) -> None:
    """Compare what came more than once in the source with the call table's call, where it has one."""
    if on_conflict != "replace" and has_any(cursor, repeats):
        cursor.execute(
            query("compare_repeats", repeats=repeats, **twins, **_values(table)),
            {"on_conflict": on_conflict},
        )


def _values(table: CallTable) -> dict[str, sql.Composable]:
    return {
        "s_values": identifiers(table.value_columns, "s"),
        "k_values": identifiers(table.value_columns, "k"),
    }


def has_any(cursor: Cursor, relation: sql.Identifier, bounds: sql.Composable = ALL) -> bool:
    """Return whether a table has any row, or any within *bounds* on ``k``."""
    cursor.execute(query("has_any", relation=relation, bounds=bounds))
    row = cursor.fetchone()
    return bool(row and row[0])


def states_of(cursor: Cursor, relations: Mapping[str, Sequence[int]]) -> dict[str, str | None]:
    """
    Return what the books say of the calls that staged tables of a load are compared with, in a few letters for each.

    Args:
        relations: By the name of a staged table, the numbers of the relations that its calls belong into.

    Returns:
        None for a table that cannot be compared early: nobody would notice if calls were taken out.
    """
    pairs = [(name, number) for name, numbers in relations.items() for number in numbers]
    cursor.execute(
        query("states_of"),
        {"names": [name for name, _ in pairs], "relations": [number for _, number in pairs]},
    )
    return dict.fromkeys(relations) | dict(cursor.fetchall())


def compare_early(cursor: Cursor, table: CallTable, load_id: int, staged: StagedTable, *, on_conflict: str) -> bool:
    """
    Compare a staged table, in which no key comes twice, with the call table as this statement sees it.

    Twins with equal values are summed, and so is what is new; those with other values are noted one by one.  What
    replaces calls is not compared early.

    Returns:
        Whether none of its calls is there.
    """
    twins = twins_of_staged(table, load_id, staged)
    cursor.execute(
        query("sum_compared", **twins, **_values(table), **measures(table, "s")),
        {"load_id": load_id, "relation": staged.relation},
    )
    ((equal, differing),) = cursor.fetchall()
    if differing:
        _note_twins(cursor, table, twins, _DIFFERING, on_conflict=on_conflict)
    return not equal and not differing


def forget_comparison(cursor: Cursor, load_id: int, staged: StagedTable) -> None:
    """Take back what an early comparison found."""
    cursor.execute(query("drop_sums"), {"relation": staged.relation})
    cursor.execute(query("forget_differing", aside=aside_table(load_id), staged=staged.identifier))


def insert_compared(cursor: Cursor, table: CallTable, load_id: int, compared: Sequence[StagedTable]) -> bool:
    """
    Insert the new calls of compared tables into the call table.

    Returns:
        Whether they are as many as were counted when they were compared.

    Raises:
        psycopg2.errors.UniqueViolation: If somebody put one into the table by hand since; else they are fewer then.
    """
    inserted = 0
    for staged in compared:
        twins = twins_of_staged(table, load_id, staged)
        cursor.execute(
            query(
                "insert_staged",
                **twins,
                columns=identifiers(table.columns),
                s_columns=identifiers(table.columns, "s"),
                which=ALL if staged.all_new else query("is_new", **twins),
            )
        )
        inserted += cursor.rowcount
    names = {"load_id": load_id, "relations": [staged.relation for staged in compared]}
    cursor.execute(query("new_calls"), names)
    row = cursor.fetchone()
    return row is not None and int(row[0]) == inserted


def compared_calls(table: CallTable, load_id: int, staged: StagedTable) -> sql.Composable:
    """Return the relation with the new calls of a compared table, once they are inserted."""
    if staged.all_new:
        return staged.identifier
    own = sql.SQL("(select * from {} k where k.load_id = {} and {})")
    return own.format(table.identifier, sql.Literal(load_id), bounds_within(table, staged))


def count_twins(cursor: Cursor, load_id: int) -> int:
    """Return how many calls of compared tables were found with equal values."""
    cursor.execute(query("count_twins"), {"load_id": load_id})
    row = cursor.fetchone()
    return int(row[0]) if row else 0
