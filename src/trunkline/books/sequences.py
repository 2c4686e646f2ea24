"""The sequence numbers of a load in the books: written where calls are published, or their source is known already."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from psycopg2 import sql

from trunkline.database.queries import Queries

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.layout.model import SequenceRule

query = Queries("sequences")

MOST_DIGITS = 18  # of a bigint, with room


def note_numbers(
    cursor: Cursor,
    rule: SequenceRule | None,
    *,
    staged: sql.Composable,
    aside: sql.Identifier,
    event_time: str | None,
) -> None:
    """
    Note the numbers of staged calls, of one load or of several, in the publishing transaction; does nothing without a
    rule on a field.

    Call it when *aside* has all that is not loaded of *staged*, and before *staged* is moved.
    """
    if rule is None or rule.field is None:
        return
    from trunkline.books.gaps import DISORDER

    at = sql.Identifier("s", event_time) if event_time else sql.SQL("null::timestamptz")
    names = {"number": sql.Identifier(rule.field), "at": at, "staged": staged, "aside": aside}
    values = {"restarts": rule.restarts, "disorder": DISORDER}
    cursor.execute(query("note_numbers_in_order", **names), values)
    if not cursor.rowcount:
        cursor.execute(query("note_numbers", **names), values)


def forget_replaced(
    cursor: Cursor, rule: SequenceRule | None, twins: Mapping[str, sql.Composable], *, event_time: str | None
) -> None:
    """
    Take the numbers of calls that are about to be replaced out of the ranges of earlier loads, in the same transaction.

    The staged calls bring them: the switch did not write them twice.  Does nothing without a rule on a field.

    Args:
        twins: What names the staged calls, the calls of the same key in the table, and what is set aside.
    """
    if rule is None or rule.field is None:
        return
    at = sql.Identifier("k", event_time) if event_time else sql.SQL("null::timestamptz")
    cursor.execute(query("forget_replaced", number=sql.Identifier(rule.field), at=at, **twins))


def note_name(
    cursor: Cursor, load_id: int, rule: SequenceRule | None, source: str, *, reloads: Sequence[int] = ()
) -> None:
    """
    Note the number in the name of a source, in the caller's transaction; does nothing without a rule on names.

    A source that is unchanged adds its number to the load that it is equal to: two files without a call can be
    equal, and neither is missing.
    """
    found = number_of(rule, source)
    if reloads and rule is not None and rule.pattern is not None:
        cursor.execute(query("carry_numbers"), {"load_id": load_id, "load_ids": list(reloads)})
    if found is not None:
        cursor.execute(query("note_number"), {"load_id": load_id, "stream": found[0], "number": found[1]})


def number_of(rule: SequenceRule | None, source: str) -> tuple[str, int] | None:
    """Return stream and number in the name of a source, None where it has none."""
    if rule is None or rule.pattern is None or (found := re.search(rule.pattern, source)) is None:
        return None
    groups = found.groupdict()
    digits = groups["number"] or ""
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= MOST_DIGITS):
        return None
    return groups.get("stream") or "", int(digits)
