"""Rehearse a load: the same comparisons as publishing makes, on temporary tables, so that nobody sees a thing.

Takes no lock on the call table and writes no books; the tables end with the transaction.  A role that may read the
call table and the books can do it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from psycopg2 import errors as pg_errors
from psycopg2 import sql

from trunkline.books.account import Totals
from trunkline.database.queries import Queries
from trunkline.loading.comparing import compare, twins_of
from trunkline.loading.expressions import measures
from trunkline.loading.sealing import analyze, settle_source
from trunkline.loading.staged_tables import StagedTable
from trunkline.loading.staging import StagedRows, copy_rows, fill_in
from trunkline.loading.tables import CallTable, column_definitions, identifiers, planned_call_table

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.layout.files import Layout

query = Queries("loading")


class _Temporary(StagedTable):
    """A staged table that only this session sees."""

    __slots__ = ()

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier("pg_temp", self.relation)


STAGED = _Temporary(relation="trunkline_rehearsed", lower=None, upper=None)
ASIDE = sql.Identifier("pg_temp", "trunkline_rehearsed_aside")
REPEATS = sql.Identifier("pg_temp", "trunkline_rehearsed_repeats")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rehearsed:
    """What publishing would find; *rejected_conflicts* are those of *conflicts* that the layout rejects."""

    loaded: int
    duplicates: int
    duplicates_in_source: int
    conflicts: int
    rejected_conflicts: int
    totals: Totals


def open_rehearsal(cursor: Cursor, layout: Layout, table: CallTable | None, *, system: str, load_id: int = 0) -> None:
    """Make the temporary tables, like the call table where there is one; their calls carry *system* and *load_id*."""
    for relation in (STAGED.identifier, REPEATS):
        if table is not None:
            cursor.execute(query("make_staged", staged=relation, table=table.identifier))
        else:
            cursor.execute(sql.SQL("create table {} ({})").format(relation, column_definitions(layout)))
    filled = table or planned_call_table(cursor, layout)
    fill_in(cursor, filled, STAGED.identifier, load_id=load_id, system=system)
    cursor.execute(query("make_aside", aside=ASIDE))


def rehearse_rows(cursor: Cursor, table: CallTable, rows: StagedRows) -> None:
    """Copy the calls of a block."""
    copy_rows(cursor, table, rows, dict.fromkeys((start for start, _, _ in rows.runs), STAGED))


def finish_rehearsal(
    cursor: Cursor,
    planned: CallTable,
    *,
    is_there: bool,
    on_conflict: str,
    reloads: Sequence[int],
    typed_cost: Mapping[str, Decimal],
) -> Rehearsed:
    """
    Settle what was copied as sealing and publishing would.

    Args:
        planned: The call table as it is or would be made; *is_there* says which.
        reloads: Loads whose calls would be taken back.
        typed_cost: Sums of the typed records, for the currencies in them.
    """
    _settle(cursor, planned, on_conflict=on_conflict)
    if is_there:
        analyze(cursor, planned, STAGED)
        twins = twins_of(planned, STAGED.identifier, ASIDE, bounds_of(cursor, planned, reloads))
        compare(cursor, planned, twins, repeats=REPEATS, on_conflict=on_conflict)
    cursor.execute(query("set_aside", aside=ASIDE))
    ((duplicates, in_source, conflicts),) = cursor.fetchall()
    cursor.execute(query("currencies_aside", aside=ASIDE))
    aside = dict(cursor.fetchall())
    cursor.execute(query("sum_new", staged=STAGED.identifier, aside=ASIDE, **measures(planned, "s")))
    sums = {currency: (calls, duration_s, cost) for currency, calls, duration_s, cost in cursor.fetchall()}
    nothing = (0, Decimal(0), Decimal(0))
    currencies = {*typed_cost, *aside, *sums}
    return Rehearsed(
        loaded=sum(calls for calls, _, _ in sums.values()),
        duplicates=duplicates,
        duplicates_in_source=in_source,
        conflicts=conflicts,
        rejected_conflicts=sum(aside.values()),
        totals=Totals(
            duration_s=sum((duration_s for _, duration_s, _ in sums.values()), Decimal(0)),
            cost={currency: sums.get(currency, nothing)[2] for currency in currencies},
        ),
    )


def _settle(cursor: Cursor, table: CallTable, *, on_conflict: str) -> None:
    """Set repeats in the source aside where the unique index says that there are any."""
    cursor.execute("savepoint before_index")
    try:
        _index(cursor, table)
    except pg_errors.UniqueViolation:
        cursor.execute("rollback to savepoint before_index")
        settle_source(cursor, table, STAGED.identifier, aside=ASIDE, repeats=REPEATS, on_conflict=on_conflict)
        _index(cursor, table)


def _index(cursor: Cursor, table: CallTable) -> None:
    name = sql.Identifier(f"{STAGED.relation}_key")
    columns = identifiers(table.key_columns)
    cursor.execute(query("index_staged", name=name, staged=STAGED.identifier, key_columns=columns))


def bounds_of(cursor: Cursor, table: CallTable, reloads: Sequence[int] = ()) -> sql.Composable:
    """Return the condition on ``k``, the call table, that leaves out other times than those copied, and *reloads*."""
    conditions: list[sql.Composable] = [sql.SQL("true")]
    if table.event_time:
        name = sql.Identifier(table.event_time)
        cursor.execute(query("time_range", event_time=name, staged=STAGED.identifier))
        ((first, last),) = cursor.fetchall()
        if first is not None:
            condition = sql.SQL("k.{time} between {first} and {last}")
            conditions.append(condition.format(time=name, first=sql.Literal(first), last=sql.Literal(last)))
    if reloads:
        conditions.append(sql.SQL("k.load_id <> all ({})").format(sql.Literal(list(reloads))))
    return sql.SQL(" and ").join(conditions)


def starts_of(rows: StagedRows) -> set[date | None]:
    """Return the first days of the partitions that these rows fall into."""
    return {start for start, _, _ in rows.runs}
