"""Call tables: made from a layout, checked against it, and united in the view `trunkline.calls`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from psycopg2 import sql

from trunkline.database.connection import LockSpace
from trunkline.database.queries import Queries
from trunkline.errors import DatabaseError, SchemaError
from trunkline.loading.views import ensure_view, replace_view

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.layout.files import Layout


query = Queries("loading")

TECHNICAL_COLUMNS = (
    ("system", "text"),
    ("load_id", "bigint"),
    ("source_line", "bigint"),
    ("record_key", "uuid"),
)

# What `trunkline.calls` shows, with the types it always has, whatever a table's own.
CANONICAL_COLUMNS = (
    ("started_at", "timestamp with time zone"),
    ("answered_at", "timestamp with time zone"),
    ("ended_at", "timestamp with time zone"),
    ("duration_s", "numeric"),
    ("billable_s", "numeric"),
    ("ring_s", "numeric"),
    ("caller", "text"),
    ("caller_e164", "text"),
    ("callee", "text"),
    ("callee_e164", "text"),
    ("destination", "text"),
    ("customer_id", "text"),
    ("call_id", "text"),
    ("sequence", "bigint"),
    ("direction", "text"),
    ("disposition", "text"),
    ("cost", "numeric"),
    ("currency", "text"),
    *TECHNICAL_COLUMNS,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CallTable:
    """
    A table that holds the calls of a layout.

    Attributes:
        schema, name: Unquoted.
        qualified: Both, quoted as SQL text: the name that the books use.
        event_time: The column that partitions are made by, or None.
        partition: ``day``, ``week``, ``month`` or ``none``, as the table was made.
        value_types: The layout's columns, in order, with their types: what makes two calls of one key the same or a
            conflict.
        stated: What the layout states for all records, by column: nearly always what a whole block has there.
    """

    schema: str
    name: str
    qualified: str
    event_time: str | None
    partition: str
    value_types: Mapping[str, str]
    stated: Mapping[str, str] = field(default_factory=dict)

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    @property
    def value_columns(self) -> tuple[str, ...]:
        return tuple(self.value_types)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns in the order in which they are copied."""
        return (*self.value_columns, *(name for name, _ in TECHNICAL_COLUMNS))

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns of the unique index: PostgreSQL asks for the partition key among them."""
        return (self.event_time, "record_key") if self.event_time else ("record_key",)

    @property
    def is_partitioned(self) -> bool:
        return self.partition != "none"


def ensure_call_table(cursor: Cursor, layout: Layout) -> CallTable:
    """
    Return the layout's call table, made if it is not there, in the caller's transaction.

    Raises:
        SchemaError: If a table of that name exists that is not ours, or lacks a column of the layout.
    """
    table, known = _named(cursor, layout)
    if known is not None and known[5]:  # no lock: a caller of `load` may keep it for as long as its transaction lasts
        there = _checked(cursor, table, layout, stored_event_time=known[3], stored_partition=known[4])
        _ensure_view(cursor, there, layout)
        return there
    cursor.execute(query("make_lock"), {"space": LockSpace.BOOKS})
    found = find_call_table(cursor, layout)
    if found is not None:
        return found
    _make(cursor, table, layout)
    rebuild_calls_view(cursor)
    _ensure_view(cursor, table, layout)
    return table


def _ensure_view(cursor: Cursor, table: CallTable, layout: Layout) -> None:
    if layout.view is not None:
        ensure_view(cursor, layout.view, schema=table.schema, table=table.name)


def find_call_table(cursor: Cursor, layout: Layout) -> CallTable | None:
    """
    Return the layout's call table as it was made, or None if there is none yet.

    Raises:
        SchemaError: If a table of that name exists that is not ours, or lacks a column of the layout.
    """
    table, known = _named(cursor, layout)
    if known is not None and known[5]:
        return _checked(cursor, table, layout, stored_event_time=known[3], stored_partition=known[4])
    cursor.execute(query("relation_exists"), {"name": table.qualified})
    if _one(cursor)[0]:
        raise SchemaError(
            f"{table.qualified} exists and was not made by trunkline",
            hint="name another table in the layout, or rename that one",
        )
    return None


def planned_call_table(cursor: Cursor, layout: Layout) -> CallTable:
    """Return the call table as it would be made."""
    return _named(cursor, layout)[0]


def _named(cursor: Cursor, layout: Layout) -> tuple[CallTable, tuple[Any, ...] | None]:
    """Return the layout's call table as it would be made, and what is remembered of one of that name."""
    schema, _, name = layout.table.rpartition(".")
    cursor.execute(query("qualified_name"), {"schema": schema or None, "table": name})
    found_schema, qualified = _one(cursor)
    if found_schema is None:
        raise DatabaseError(
            "the session has no current schema to make the call table in",
            hint=f"write the layout's table with its schema, such as 'public.{name}'",
        )
    cursor.execute(query("find_call_table"), {"name": qualified})
    known = cursor.fetchone()
    table = CallTable(
        schema=str(found_schema),
        name=name,
        qualified=str(qualified),
        event_time=layout.event_time,
        partition=layout.partition,
        value_types={column.name: column.pg_type for column in layout.columns},
        stated=layout.stated,
    )
    return table, known


def _make(cursor: Cursor, table: CallTable, layout: Layout) -> None:
    statement = sql.SQL("create table {} ({})").format(table.identifier, column_definitions(layout))
    if table.is_partitioned:
        statement += sql.SQL(" partition by range ({})").format(sql.Identifier(str(table.event_time)))
    cursor.execute(statement)
    cursor.execute(sql.SQL("create unique index on {} ({})").format(table.identifier, identifiers(table.key_columns)))
    cursor.execute(query("forget_on_change", table=table.identifier))
    for column in layout.columns:
        cursor.execute(
            sql.SQL("comment on column {} is {}").format(
                sql.Identifier(table.schema, table.name, column.name),
                sql.Literal(f"CSV column {column.source}"),
            )
        )
    cursor.execute(
        query("remember_call_table"),
        {
            "name": table.qualified,
            "layout": layout.name,
            "key_fields": list(layout.key),
            "key_fingerprint": layout.key_fingerprint,
            "event_time": table.event_time,
            "partition": table.partition,
        },
    )


def column_definitions(layout: Layout) -> sql.Composed:
    """Return the columns of the layout's call table, as they are written to make it."""
    columns = [
        sql.SQL("{} {}{}").format(
            sql.Identifier(column.name),
            sql.SQL(column.pg_type),
            sql.SQL(" not null" if column.not_null else ""),
        )
        for column in layout.columns
    ]
    columns += [
        sql.SQL("{} {} not null").format(sql.Identifier(name), sql.SQL(pg_type)) for name, pg_type in TECHNICAL_COLUMNS
    ]
    return sql.SQL(", ").join(columns)


def _checked(
    cursor: Cursor, table: CallTable, layout: Layout, *, stored_event_time: str | None, stored_partition: str
) -> CallTable:
    """Return *table* as it was made, if the layout's columns fit it."""
    if stored_event_time != table.event_time:
        raise SchemaError(
            f"{table.qualified} was made for the event time {stored_event_time}, the layout says {table.event_time}",
            hint="name another table in the layout",
        )
    cursor.execute(query("table_columns"), {"name": table.qualified})
    there = dict(cursor.fetchall())
    missing = [column for column in layout.columns if column.name not in there]
    if missing:
        wanted = ", ".join(f"add column {column.name} {column.pg_type}" for column in missing)
        raise SchemaError(
            f"{table.qualified} has no column for {', '.join(column.name for column in missing)}",
            hint=f"add it as an explicit step: alter table {table.qualified} {wanted}",
        )
    return replace(table, partition=stored_partition)


def rebuild_calls_view(cursor: Cursor) -> bool:
    """
    Rebuild `trunkline.calls`, which unites the shared columns of all call tables, in the caller's transaction.

    Returns:
        False if it could not be rebuilt now (a reader holds it for long, or this role may not): the load that made
        the table is not touched by that, and the next table that is made rebuilds it.
    """
    return replace_view(cursor, lambda: _calls_view(cursor))


def _calls_view(cursor: Cursor) -> sql.Composed:
    cursor.execute(query("all_columns"))
    tables: dict[str, dict[str, str]] = {}
    for table, column, pg_type in cursor.fetchall():
        tables.setdefault(table, {})[column] = pg_type
    selects = [
        sql.SQL("select {}, {} from {}").format(
            sql.SQL("{}::text as call_table").format(sql.Literal(name)),
            sql.SQL(", ").join(_canonical(column, pg_type, there) for column, pg_type in CANONICAL_COLUMNS),
            sql.SQL(name),  # quoted by PostgreSQL's own format('%I.%I') when the table was made
        )
        for name, there in sorted(tables.items())
    ]
    return sql.SQL("create or replace view trunkline.calls with (security_invoker = true) as {}").format(
        sql.SQL(" union all ").join(selects)
    )


def _canonical(column: str, pg_type: str, there: Mapping[str, str]) -> sql.Composed:
    value = sql.Identifier(column) if column in there else sql.SQL("null")
    return sql.SQL("{}::{} as {}").format(value, sql.SQL(pg_type), sql.Identifier(column))


def identifiers(names: Sequence[str], prefix: str | None = None) -> sql.Composed:
    """Return *names* as a comma-separated list of identifiers, each after *prefix* and a dot."""
    return sql.SQL(", ").join(sql.Identifier(prefix, n) if prefix else sql.Identifier(n) for n in names)


def _one(cursor: Cursor) -> tuple[object, ...]:
    row = cursor.fetchone()
    if row is None:
        raise DatabaseError("PostgreSQL sent no row where one was expected")
    return tuple(row)
