"""Several small loads staged and published together, in one transaction: what a single one costs is paid once.

Only calls that are new are loaded this way.  Whatever is to be set aside, a duplicate or a conflict, violates a unique
index, and the transaction is rolled back: then each source is loaded for itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
from psycopg2 import sql

from trunkline.books.sequences import note_name, note_numbers
from trunkline.books.settling import settle_read_again
from trunkline.books.writing import Content, OpenLoad, Terms, check_terms, close_loaded, find_unchanged
from trunkline.database.connection import LockSpace
from trunkline.database.queries import Queries
from trunkline.errors import DatabaseBusyError
from trunkline.loading.catalog import Partition, first_days, is_replicated, partitions_of, relations_of
from trunkline.loading.expressions import named_measures, summed
from trunkline.loading.publishing import add_partition, attach
from trunkline.loading.sealing import analyze, drop_index, hurry_sealing, index, watch
from trunkline.loading.stage import MOST_REOPENED
from trunkline.loading.staged_tables import StagedTable, aside_table, drop_stage
from trunkline.loading.staging import check_partition_count, copy_rows, in_runs, make_staged, starts_in
from trunkline.loading.tables import CallTable, identifiers

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.layout.model import SequenceRule

query = Queries("loading")

ROWS_AT_ONCE = 100_000  # bounds the memory, and keeps small the number of COPY where each source has calls of many days


@dataclass(frozen=True, kw_only=True, slots=True)
class JointLoad:
    """One of the loads: what its books say, and the partitions that its calls fall into."""

    load: OpenLoad
    terms: Terms
    content: Content
    starts: set[date | None] = field(default_factory=set)


class JointStage:
    """The staged tables that several loads share, in the caller's transaction; they belong to the first of them."""

    def __init__(self, cursor: Cursor, table: CallTable, *, system: str) -> None:
        self._cursor = cursor
        self._table = table
        self._system = system
        self._there = first_days(partitions_of(cursor, table))
        self._staged: dict[date | None, StagedTable] = {}
        self._waiting: list[tuple[JointLoad, pa.RecordBatch]] = []
        self._sealed: set[date | None] = set()
        self._reopened: set[date | None] = set()
        self.loads: list[JointLoad] = []

    @property
    def owner(self) -> OpenLoad:
        """The load whose staged tables they are."""
        return self.loads[0].load

    def open(self, load: JointLoad) -> None:
        """Begin with the next load."""
        if not self.loads:
            self._cursor.execute(query("make_aside", aside=aside_table(load.load.load_id)))
        self.loads.append(load)

    def add(self, rows: pa.RecordBatch) -> None:
        """Stage calls of the load that was begun last, which have their lines; they may wait for those of others."""
        load = self.loads[-1]
        ids = pa.repeat(pa.scalar(load.load.load_id, pa.int64()), rows.num_rows)
        self._waiting.append((load, rows.append_column("load_id", ids)))
        if sum(batch.num_rows for _, batch in self._waiting) >= ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Copy the calls that wait."""
        waiting, self._waiting = [each for each in self._waiting if each[1].num_rows], []
        if not waiting:
            return
        for load, batch in waiting:
            load.starts.update(starts_in(batch, self._table))
        (whole,) = pa.Table.from_batches([batch for _, batch in waiting]).combine_chunks().to_batches()
        rows = in_runs(whole, self._table)
        missing = [start for start, _, _ in rows.runs if start not in self._staged]
        check_partition_count({*self._staged, *missing}, self._there)
        passed = self._staged.keys() - {start for start, _, _ in rows.runs} - self._reopened
        self._staged |= make_staged(self._cursor, self._table, self.owner.load_id, missing, system=self._system)
        self._reopen(self._sealed.intersection(start for start, _, _ in rows.runs))
        copy_rows(self._cursor, self._table, rows, self._staged)
        if len(self._reopened) <= MOST_REOPENED:
            self._seal_all(passed)

    def seal(self) -> None:
        """Make the staged tables whose partition does not exist ready to be attached, those that are not yet."""
        self._seal_all(self._staged.keys())

    def _seal_all(self, starts: Set[date | None]) -> None:
        """
        Seal tables, where workers parse the next sources meanwhile those that the sources have passed.

        Nothing is set aside here, so that it does not matter which calls came when.
        """
        unsealed = starts - self._sealed
        if not unsealed:
            return
        hurry_sealing(self._cursor)
        partitions = partitions_of(self._cursor, self._table)
        for start in unsealed:
            if self._is_new(partitions, self._staged[start]):
                self._seal(self._staged[start])
                self._sealed.add(start)

    def _reopen(self, starts: Set[date | None]) -> None:
        for start in starts:
            staged = self._staged[start]
            drop_index(self._cursor, staged)
            self._cursor.execute(query("forget_staged_sums"), {"relation": staged.relation})
        self._sealed -= starts
        self._reopened |= starts

    def _is_new(self, partitions: Sequence[Partition], staged: StagedTable) -> bool:
        return not relations_of(self._cursor, self._table, partitions, staged)

    def _seal(self, staged: StagedTable) -> None:
        index(self._cursor, self._table, staged)
        watch(self._cursor, staged)
        names = {"staged": staged.identifier, **summed(self._table, "s")}
        self._cursor.execute(query("sum_joint", **names), {"relation": staged.relation})
        analyze(self._cursor, self._table, staged)

    def publish(self, *, sequence: SequenceRule | None) -> None:
        """
        Attach or merge the staged tables, and write the books of all loads; the caller has its turn.

        Raises:
            DatabaseBusyError: If another run was quicker, with one of the contents or with a partition.
            ReloadNeededError: If the call table holds this system's calls on other terms.
        """
        self._check_contents()
        check_terms(self._cursor, self._table, self.loads[0].terms, ())
        for load in self.loads:
            self._note_numbers(load, sequence)
        relations = self._place()
        self._cursor.execute(query("publish_order"), {"space": LockSpace.BOOKS})
        for load in self.loads:
            self._write_books(load, {oid for start in load.starts for oid in relations[start]}, sequence)
        drop_stage(self._cursor, self.owner.load_id)
        self._cursor.execute(query("forget_sums"), {"load_ids": [load.load.load_id for load in self.loads]})

    def _check_contents(self) -> None:
        for load in self.loads:
            if find_unchanged(self._cursor, load.terms, load.content.hash) is not None:
                raise DatabaseBusyError("another run loaded the same")

    def _place(self) -> dict[date | None, set[int]]:
        """Return the relations that the calls of each staged table are in now."""
        partitions = partitions_of(self._cursor, self._table)
        new = [start for start, staged in self._staged.items() if self._is_new(partitions, staged)]
        if set(new) != self._sealed:
            raise DatabaseBusyError("another run made or removed the same partition")
        if is_replicated(self._cursor, self._table):
            return {start: self._merge_into(partitions, start, is_new=start in new) for start in self._staged}
        numbers = attach(self._cursor, self._table, self.owner, [self._staged[start] for start in new])
        placed = {start: {number} for start, number in zip(new, numbers, strict=True)}
        known = self._staged.keys() - placed.keys()
        return placed | {start: self._merge_into(partitions, start, is_new=False) for start in known}

    def _merge_into(self, partitions: Sequence[Partition], start: date | None, *, is_new: bool) -> set[int]:
        """Merge a staged table into partitions that are there, or into a new one, and return their numbers."""
        staged = self._staged[start]
        added = {add_partition(self._cursor, self._table, self.owner, staged)} if is_new else set()
        self._merge(staged)
        return added.union(relations_of(self._cursor, self._table, partitions, staged))

    def _merge(self, staged: StagedTable) -> None:
        self._cursor.execute(query("forget_staged_sums"), {"relation": staged.relation})
        self._cursor.execute(
            query(
                "merge_joint",
                staged=staged.identifier,
                table=self._table.identifier,
                columns=identifiers(self._table.columns),
                sums=named_measures(self._table),
            ),
            {"relation": staged.relation},
        )

    def _note_numbers(self, load: JointLoad, sequence: SequenceRule | None) -> None:
        for start in load.starts:
            own = sql.SQL("(select * from {} where load_id = {})")
            note_numbers(
                self._cursor,
                load.load.load_id,
                sequence,
                staged=own.format(self._staged[start].identifier, sql.Literal(load.load.load_id)),
                aside=aside_table(self.owner.load_id),
                event_time=self._table.event_time,
            )

    def _write_books(self, load: JointLoad, relations: Iterable[int], sequence: SequenceRule | None) -> None:
        load_id = load.load.load_id
        note_name(self._cursor, load_id, sequence, load.terms.source)
        self._cursor.execute(
            query("add_partitions"),
            {"load_id": load_id, "call_table": self._table.qualified, "relations": sorted(relations)},
        )
        nothing = aside_table(self.owner.load_id)
        self._cursor.execute(query("add_totals", aside=nothing), {"load_id": load_id})
        close_loaded(self._cursor, load.load, load.content, set_aside=(0, 0, 0), replaced=0)
        settle_read_again(self._cursor, load_id)
