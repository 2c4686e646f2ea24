"""Loads that were begun and that nobody works on any more: found, and given up with all that they staged.

A run that is killed leaves its load open on purpose, so that the next run of the same source goes on with it.  What is
here is for those whose next run never comes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import psycopg2.errors

from trunkline.books.writing import Terms, discard_loads, disown_loads, fail_load, own_load
from trunkline.database.queries import Queries
from trunkline.loading.staged_tables import drop_stage

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

query = Queries("loading")

ABANDONED_AFTER_DAYS = 7
MOST_AT_ONCE = 20  # per run: clearing up must not hold up whoever wants to load


def give_up_abandoned(connection: Connection) -> int:
    """
    Close as failed what was begun more than a week ago and is not in work, and commit.

    Returns:
        How many loads that were.
    """
    with connection.cursor() as cursor:
        cursor.execute(query("abandoned_loads"), {"days": ABANDONED_AFTER_DAYS, "limit": MOST_AT_ONCE})
        found = [int(load_id) for (load_id,) in cursor.fetchall()]
        reason = f"given up: nobody went on with it for {ABANDONED_AFTER_DAYS} days"
        return sum(_give_up(cursor, load_id, reason) for load_id in found)


def give_up_unneeded(connection: Connection, terms: Terms, content_hash: str) -> int:
    """
    Remove loads of this content that are not in work and that nobody needs, since it is loaded; and commit.

    Returns:
        How many loads that were.
    """
    with connection.cursor() as cursor:
        parameters = terms.parameters() | {"content_hash": content_hash, "limit": MOST_AT_ONCE}
        cursor.execute(query("unneeded_loads"), parameters)
        found = [int(load_id) for (load_id,) in cursor.fetchall()]
        return sum(_give_up(cursor, load_id, None) for load_id in found)


def discard(cursor: Cursor, load_ids: Iterable[int]) -> None:
    """Remove loads that this session owns, with what they staged, in the caller's transaction."""
    for load_id in load_ids:
        drop_stage(cursor, load_id)
        discard_loads(cursor, [load_id])
        disown_loads(cursor, [load_id])


def _give_up(cursor: Cursor, load_id: int, reason: str | None) -> bool:
    """Close a load as failed, or remove it where there is no reason to tell; False if it is not ours to touch."""
    if not own_load(cursor, load_id):
        return False
    try:
        cursor.execute("set local lock_timeout = '1s'")
        drop_stage(cursor, load_id)
        if reason is None:
            discard_loads(cursor, [load_id])
        else:
            fail_load(cursor, load_id, reason)
    except (psycopg2.errors.LockNotAvailable, psycopg2.errors.InsufficientPrivilege):
        cursor.connection.rollback()  # a session that is cut off still works on it, or it is another role's
        disown_loads(cursor, [load_id])
        return False
    disown_loads(cursor, [load_id])
    cursor.connection.commit()
    return True
