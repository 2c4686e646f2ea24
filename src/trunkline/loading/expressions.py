"""SQL for the columns of a call table that name a call, and for those that the books sum."""

from __future__ import annotations

from psycopg2 import sql

from trunkline.loading.tables import CallTable


def same_key(table: CallTable, left: str, right: str) -> sql.Composed:
    """Return the condition that two aliases name the same call."""
    return sql.SQL(" and ").join(
        sql.SQL("{} = {}").format(sql.Identifier(left, name), sql.Identifier(right, name)) for name in table.key_columns
    )


def measures(table: CallTable, alias: str | None) -> dict[str, sql.Composable]:
    """Return currency, duration_s and cost as SQL, with stand-ins where the table has no such column."""
    stand_ins = {"currency": "''", "duration_s": "0", "cost": "0"}
    return {name: _measure(table, alias, name, stand_in) for name, stand_in in stand_ins.items()}


def summed(table: CallTable, alias: str) -> dict[str, sql.Composable]:
    """Return the same to be summed, where a NULL needs no stand-in."""
    plain = {name: sql.Identifier(alias, name) for name in ("duration_s", "cost") if name in table.value_columns}
    return measures(table, alias) | plain


def _measure(table: CallTable, alias: str | None, name: str, stand_in: str) -> sql.Composable:
    if name not in table.value_columns:
        return sql.SQL(stand_in)
    column = sql.Identifier(alias, name) if alias else sql.Identifier(name)
    return sql.SQL("coalesce({}, {})").format(column, sql.SQL(stand_in))


def named_measures(table: CallTable) -> sql.Composed:
    """Return currency, duration_s and cost of inserted calls, by these names."""
    return sql.SQL(", ").join(
        sql.SQL("{} as {}").format(value, sql.Identifier(name)) for name, value in measures(table, None).items()
    )
