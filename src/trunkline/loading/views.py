"""Views beside call tables: made in the transaction of a load, which never fails for the lack of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from psycopg2 import Error, sql

from trunkline.database.queries import Queries

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

query = Queries("views")

SUFFIX = "_calls"
"""What the name of a layout's view has behind that of its table."""

_VERSION = 1  # goes up when views.sql says something else: then the views that are there are made anew


def ensure_view(cursor: Cursor, kind: str, *, schema: str, table: str) -> bool:
    """
    Make the view of a call table if it is not there as this version of trunkline makes it.

    Args:
        cursor: In the transaction of a load.
        kind: A name in `sql/views.sql`.
        schema, table: Of the call table, unquoted.

    Returns:
        False if the view could not be made now, or something else has its name.
    """
    view = sql.Identifier(schema, table + SUFFIX)
    mark = f"Made by trunkline: {kind} {_VERSION}."
    cursor.execute(query("view_made"), {"name": view.as_string(cursor)})
    there, comment = cursor.fetchone() or (False, None)
    if there and comment == mark:
        return True
    if there and not str(comment).startswith("Made by trunkline: "):
        return False

    def statements() -> sql.Composed:
        made = query(kind, view=view, table=sql.Identifier(schema, table))
        return made + sql.SQL("; comment on view {} is {}").format(view, sql.Literal(mark))

    return replace_view(cursor, statements)


def replace_view(cursor: Cursor, statements: Callable[[], sql.Composed]) -> bool:
    """
    Execute what makes a view, and undo it if it does not work out.

    Returns:
        False if it was undone: a reader holds the view for long, or this role may not replace it.
    """
    cursor.execute("savepoint before_view")
    try:
        cursor.execute("set local lock_timeout = '2s'")
        cursor.execute(statements())
    except Error:
        if cursor.connection.closed:
            raise
        cursor.execute("rollback to savepoint before_view")
        return False
    cursor.execute("set local lock_timeout = default")
    cursor.execute("release savepoint before_view")
    return True
