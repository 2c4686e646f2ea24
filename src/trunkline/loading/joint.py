"""Several small loads staged and published together: what a single one costs is paid once.

Their calls are staged by all workers, in tables that belong to the first of them, and published in one transaction.
Only calls that are new are loaded this way.  Whatever is to be set aside, a duplicate or a conflict, violates a unique
index, and all of it is given up: then each source is loaded for itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa

from trunkline.books.sequences import note_name, note_numbers
from trunkline.books.settling import settle_read_again
from trunkline.books.writing import (
    Closing,
    Content,
    OpenLoad,
    Terms,
    add_partitions,
    add_totals,
    check_terms,
    close_loaded,
    discard_loads,
    disown_loads,
    find_unchanged,
    hold_load,
)
from trunkline.database.connection import LockSpace
from trunkline.database.queries import Queries
from trunkline.errors import DatabaseBusyError
from trunkline.loading.catalog import Partition, first_days, is_replicated, partitions_of, relations_of
from trunkline.loading.expressions import summed
from trunkline.loading.publishing import add_partition, attach, merge_staged
from trunkline.loading.sealing import analyze, index, mark_sealed, watch
from trunkline.loading.stage import Stage, seal_rest
from trunkline.loading.staged_tables import StagedTable, aside_table, drop_stage, staged_tables
from trunkline.loading.staging import copy_rows, in_runs
from trunkline.loading.tables import CallTable

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.database.sessions import Sessions
    from trunkline.layout.model import SequenceRule

query = Queries("loading")


@dataclass(frozen=True, kw_only=True, slots=True)
class JointLoad:
    """One of the loads: what its books say, and the partitions that its calls fall into."""

    load: OpenLoad
    terms: Terms
    content: Content
    starts: frozenset[date | None] = frozenset()


class JointStage:
    """The staged tables that several loads share; they belong to the first of them, its *owner*."""

    def __init__(
        self, sessions: Sessions, table: CallTable, owner: OpenLoad, partitions: Sequence[Partition], *, system: str
    ) -> None:
        """Begin with nothing staged; *partitions* are those that the call table has."""
        self._sessions = sessions
        self._table = table
        self._owner = owner
        self._partitions = partitions
        self._stage = Stage(sessions, table, owner, self._seal, system=system, there=first_days(partitions))

    @contextmanager
    def add(self, position: int, batches: Sequence[pa.RecordBatch]) -> Iterator[Cursor]:
        """
        Stage the calls of some sources, with lines and loads, in a transaction that the caller goes on with.

        Args:
            position: Which of all parts it is, from 0; called by several workers, once for each.
        """
        whole = pa.Table.from_batches(batches).combine_chunks().to_batches() if batches else []
        rows = [in_runs(batch, self._table) for batch in whole]
        starts = [start for each in rows for start, _, _ in each.runs]
        with self._stage.filling(position, starts) as staged, self._sessions.borrow() as connection:
            with connection.cursor() as cursor:
                hold_load(cursor, self._owner)
                for each in rows:
                    copy_rows(cursor, self._table, each, staged)
                yield cursor
            connection.commit()
        self._stage.done(position)

    def seal(self, *, workers: int) -> None:
        """Make the staged tables whose partition does not exist ready to be attached, those that are not yet."""
        seal_rest(self._sessions, self._owner, self._seal, workers=workers)

    def _seal(self, cursor: Cursor, staged: StagedTable) -> StagedTable:
        if relations_of(cursor, self._table, self._partitions, staged):
            return staged
        index(cursor, self._table, staged)
        watch(cursor, staged)
        names = {"staged": staged.identifier, **summed(self._table, "s")}
        cursor.execute(query("sum_joint_one_currency", **names), {"relation": staged.relation})
        if not cursor.rowcount:
            cursor.execute(query("sum_joint", **names), {"relation": staged.relation})
        analyze(cursor, self._table, staged)
        return mark_sealed(cursor, self._owner.load_id, staged)


def give_up(cursor: Cursor, loads: Sequence[OpenLoad]) -> None:
    """Remove loads that this session owns with all that they staged, which belongs to the first; the caller commits."""
    load_ids = [load.load_id for load in loads]
    drop_stage(cursor, *load_ids)
    discard_loads(cursor, load_ids)
    disown_loads(cursor, load_ids)


def publish_joint(
    cursor: Cursor, table: CallTable, owner: OpenLoad, loads: Sequence[JointLoad], *, sequence: SequenceRule | None
) -> None:
    """
    Attach or merge what loads on the same terms staged, and write the books of all.

    The caller has its turn, and drops what is left of the stage.

    Raises:
        DatabaseBusyError: If another run was quicker, with one of the contents or with a partition.
        ReloadNeededError: If the call table holds this system's calls on other terms.
    """
    terms = loads[0].terms
    if find_unchanged(cursor, terms, *(load.content.hash for load in loads)) is not None:
        raise DatabaseBusyError("another run loaded the same")
    check_terms(cursor, table, terms, ())
    tables = {staged.start: staged for staged in staged_tables(cursor, owner.load_id)}
    for staged in tables.values():
        aside = aside_table(owner.load_id)
        note_numbers(cursor, sequence, staged=staged.identifier, aside=aside, event_time=table.event_time)
    relations = _place(cursor, table, owner, tables)
    _write_books(cursor, table, owner, loads, relations, sequence)


def _place(
    cursor: Cursor, table: CallTable, owner: OpenLoad, tables: Mapping[date | None, StagedTable]
) -> dict[date | None, set[int]]:
    """Return the relations that the calls of each staged table are in now."""
    partitions = partitions_of(cursor, table)
    there = {start: set(relations_of(cursor, table, partitions, staged)) for start, staged in tables.items()}
    new = [start for start in tables if not there[start]]
    if set(new) != {start for start, staged in tables.items() if staged.sealed}:
        raise DatabaseBusyError("another run made or removed the same partition")
    if is_replicated(cursor, table):
        for start in new:
            there[start] = {add_partition(cursor, table, owner, tables[start])}
        new = []
    numbers = attach(cursor, table, owner, [tables[start] for start in new])
    attached = {start: {number} for start, number in zip(new, numbers, strict=True)}
    for start in tables.keys() - attached.keys():
        merge_staged(cursor, table, tables[start])
    return there | attached


def _write_books(
    cursor: Cursor,
    table: CallTable,
    owner: OpenLoad,
    loads: Sequence[JointLoad],
    relations: Mapping[date | None, Iterable[int]],
    sequence: SequenceRule | None,
) -> None:
    load_ids = [load.load.load_id for load in loads]
    for load in loads:
        note_name(cursor, load.load.load_id, sequence, load.terms.source)
    places = {load.load.load_id: {oid for start in load.starts for oid in relations[start]} for load in loads}
    add_partitions(cursor, table, places)
    add_totals(cursor, load_ids, aside=aside_table(owner.load_id))
    cursor.execute(query("publish_order"), {"space": LockSpace.BOOKS})
    close_loaded(cursor, [Closing(load=load.load, content=load.content) for load in loads])
    settle_read_again(cursor, load_ids)
