"""The staged tables of one load, or of several that share them, as workers fill them: made when a block needs them, and
sealed as soon as the blocks have moved past them, so that PostgreSQL builds indexes while blocks are still parsed.
Where loads share them, a group of small sources is what a block is otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from enum import Enum
from threading import Condition
from typing import TYPE_CHECKING

from trunkline.books.writing import hold_load
from trunkline.loading.sealing import hurry_sealing, reopen
from trunkline.loading.staged_tables import StagedTable, staged_tables
from trunkline.loading.staging import check_partition_count, make_staged

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.books.writing import OpenLoad
    from trunkline.database.sessions import Sessions
    from trunkline.loading.tables import CallTable

Seal = Callable[["Cursor", StagedTable], StagedTable]
"""Makes a staged table ready to be published; what is left to the publish comes back as it was."""

PASSED_BLOCKS = 2  # without a call of a day, before the day counts as passed: switches write calls as they end
MOST_REOPENED = 10  # tables; a source that comes back to more of them has no order worth waiting for


class _State(Enum):
    FILLING = "blocks may be copied into it"
    SEALING = "a worker seals it"
    SEALED = "it is ready to be published"


@dataclass(slots=True)
class _Filled:
    staged: StagedTable
    state: _State = _State.FILLING
    fillers: int = 0  # workers that copy a block into it
    last_block: int = -1
    early: bool = True  # it may be sealed before all blocks are there


class Stage:
    """
    The staged tables of a load; used by all its workers.

    A table that was sealed too early, since a later block has calls for it after all, is opened again, once; it is
    sealed with the others when all blocks are there.
    """

    def __init__(
        self,
        sessions: Sessions,
        table: CallTable,
        load: OpenLoad,
        seal: Seal | None,
        *,
        system: str,
        there: set[date],
        left: Sequence[StagedTable] = (),
        left_blocks: Collection[int] = (),
    ) -> None:
        """
        Take up the staging of a load.

        Args:
            seal: How tables are sealed that the blocks have passed; None: they wait for all blocks.
            there: The first days of the partitions that the call table has.
            left: Staged tables of earlier attempts, filled by *left_blocks*.
        """
        self._sessions = sessions
        self._table = table
        self._load = load
        self._seal_with = seal if table.is_partitioned else None
        self._system = system
        self._there = there
        self._tables = {
            staged.start: _Filled(
                staged=staged,
                state=_State.SEALED if staged.sealed else _State.FILLING,
                last_block=max(left_blocks, default=-1),
            )
            for staged in left
        }
        self._reopened = 0
        self._done: set[int] = set()  # blocks beyond the first one that is not done
        self._next = 0  # the first block that is not done
        self._changed = Condition()

    @contextmanager
    def filling(self, position: int, starts: Iterable[date | None]) -> Iterator[dict[date | None, StagedTable]]:
        """Lend the staged tables of these partitions to the block at *position*; what has to be made is committed."""
        wanted = set(starts)
        with self._changed:
            self._make(wanted)
            for start in wanted:
                self._begin_filling(self._tables[start])
        try:
            yield {start: self._tables[start].staged for start in wanted}
        finally:
            with self._changed:
                for start in wanted:
                    filled = self._tables[start]
                    filled.fillers -= 1
                    filled.last_block = max(filled.last_block, position)

    def done(self, position: int) -> None:
        """Note that the block at *position* is staged, or needs no staging, and seal what the blocks have passed."""
        with self._changed:
            self._done.add(position)
            while self._next in self._done:
                self._done.remove(self._next)
                self._next += 1
        while self._seal_with is not None and (passed := self._take_passed()) is not None:
            self._seal(passed, self._seal_with)

    def _make(self, wanted: set[date | None]) -> None:
        missing = [start for start in wanted if start not in self._tables]
        if not missing:
            return
        check_partition_count({*self._tables, *missing}, self._there)
        with self._sessions.borrow() as connection:
            with connection.cursor() as cursor:
                hold_load(cursor, self._load)
                made = make_staged(cursor, self._table, self._load.load_id, missing, system=self._system)
            connection.commit()
        self._tables |= {start: _Filled(staged=staged) for start, staged in made.items()}

    def _begin_filling(self, filled: _Filled) -> None:
        while filled.state is _State.SEALING:
            self._changed.wait()
        if filled.state is _State.SEALED:
            with self._sessions.borrow() as connection:
                with connection.cursor() as cursor:
                    hold_load(cursor, self._load)
                    reopen(cursor, self._load.load_id, filled.staged)
                connection.commit()
            filled.state, filled.early = _State.FILLING, False
            self._reopened += 1
        filled.fillers += 1

    def _take_passed(self) -> _Filled | None:
        """Return a table that the blocks have passed, to be sealed by the caller; None if there is none."""
        with self._changed:
            if self._reopened > MOST_REOPENED:
                return None
            for filled in self._tables.values():
                if (
                    filled.state is _State.FILLING
                    and not filled.fillers
                    and filled.early
                    # All blocks before this one are done, so that what still comes for the table comes later in the
                    # source, too: the first of equal calls stays the first.
                    and filled.last_block + PASSED_BLOCKS < self._next
                ):
                    filled.state = _State.SEALING
                    return filled
        return None

    def _seal(self, filled: _Filled, seal: Seal) -> None:
        try:
            filled.staged = seal_staged(self._sessions, self._load, filled.staged, seal)
        finally:
            with self._changed:
                filled.state = _State.SEALED if filled.staged.sealed else _State.FILLING
                filled.early = False
                self._changed.notify_all()


def seal_staged(sessions: Sessions, load: OpenLoad, staged: StagedTable, seal: Seal) -> StagedTable:
    """Seal a staged table in a transaction of its own, and return it as it is then."""
    with sessions.borrow() as connection:
        with connection.cursor() as cursor:
            hurry_sealing(cursor)
            hold_load(cursor, load)
            sealed = seal(cursor, staged)
        connection.commit()
    return sealed


def seal_rest(sessions: Sessions, load: OpenLoad, seal: Seal, *, workers: int) -> None:
    """Seal the staged tables of a load that are not sealed yet, side by side."""
    with sessions.borrow() as connection, connection.cursor() as cursor:
        unsealed = [staged for staged in staged_tables(cursor, load.load_id) if not staged.sealed]

    def work(staged: StagedTable) -> None:
        seal_staged(sessions, load, staged, seal)

    with ThreadPoolExecutor(workers, thread_name_prefix="trunkline") as executor:
        for _ in executor.map(work, unsealed):
            pass
