"""Known blocks: those that an earlier load brought on the same terms, whose calls are where that load left them.

All their records are duplicates, so they are accounted for and neither parsed nor copied.  The database decides that
while staging, and again under the lock of the call table before anything is published.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trunkline.database.queries import Queries
from trunkline.errors import DatabaseBusyError
from trunkline.loading.staged_tables import aside_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.blocks import Block
    from trunkline.books.writing import Terms
    from trunkline.framing.cutting import EarlierBlock

query = Queries("known_blocks")


class StaleStageError(DatabaseBusyError):
    """What was staged or accounted for does not stand any more; the next attempt begins anew."""


def add_known_blocks(
    cursor: Cursor, load_id: int, terms: Terms, blocks: Sequence[Block | EarlierBlock], identities: Iterable[str]
) -> set[int]:
    """Account for those of *blocks* that are known, in the caller's transaction, and return their positions."""
    cursor.execute(
        query("add_known_blocks"),
        terms.parameters()
        | {
            "load_id": load_id,
            "content_hashes": list(identities),
            "positions": [block.position for block in blocks],
            "first_bytes": [block.first_byte for block in blocks],
            "first_lines": [block.first_line for block in blocks],
        },
    )
    return {int(position) for (position,) in cursor.fetchall()}


def check_known_blocks(cursor: Cursor, load_id: int) -> None:
    """
    Make sure that no known block of a load was forgotten meanwhile; the caller holds the call table's lock.

    Raises:
        StaleStageError: If calls of one were deleted, replaced or reloaded.
    """
    cursor.execute(query("stale_known_blocks"), {"load_id": load_id})
    if cursor.rowcount:
        raise StaleStageError("calls that this source repeats were deleted or reloaded while it was loaded")


def has_known_blocks(cursor: Cursor, load_id: int) -> bool:
    """Return whether a load has blocks that are known."""
    cursor.execute(query("has_known_blocks"), {"load_id": load_id})
    row = cursor.fetchone()
    return bool(row and row[0])


def settle_known_blocks(cursor: Cursor, load_id: int) -> tuple[int, int]:
    """
    Give a load the partitions and the proof of the loads that its known blocks are from.

    Returns:
        How many calls they hold, and how many of these in blocks that stand in the source more than once.
    """
    cursor.execute(query("add_known_partitions"), {"load_id": load_id})
    cursor.execute(query("inherit_proof"), {"load_id": load_id})
    cursor.execute(query("count_known"), {"load_id": load_id})
    row = cursor.fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def note_known_twins(cursor: Cursor, load_id: int) -> None:
    """Tell what repeats a record in a known block of the same source from what repeats another source's."""
    cursor.execute(query("note_known_twins", aside=aside_table(load_id)), {"load_id": load_id})


def count_set_aside(cursor: Cursor, load_id: int) -> None:
    """Note which blocks of a load must be read again when they come again."""
    cursor.execute(query("count_set_aside", aside=aside_table(load_id)), {"load_id": load_id})
