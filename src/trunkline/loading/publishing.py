"""Publish: one short transaction makes a load's staged calls visible, together with its books.

Staged tables become partitions where none exists; the others are merged.  The unique index of the call table
decides what is once; every writer holds the call table's lock, so that what is compared stays true until the
commit, while readers go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from psycopg2 import sql
from psycopg2.errors import LockNotAvailable, UniqueViolation

from trunkline.books.sequences import forget_replaced, note_name, note_numbers
from trunkline.books.settling import settle_read_again
from trunkline.books.writing import (
    Closing,
    Content,
    OpenLoad,
    ReadRaw,
    Terms,
    add_partitions,
    add_totals,
    check_terms,
    close_loaded,
    count_staged,
    find_unchanged,
    loads_of_content,
)
from trunkline.database.connection import LockSpace
from trunkline.database.queries import Queries
from trunkline.errors import DatabaseBusyError, DatabaseError, RefusedError
from trunkline.loading.catalog import is_replicated, oid_of, partitions_of, relations_of
from trunkline.loading.comparing import (
    ALL,
    compare,
    compare_repeats,
    compared_calls,
    count_twins,
    forget_comparison,
    has_any,
    insert_compared,
    states_of,
    twins_of_staged,
)
from trunkline.loading.conflicts import Conflict, count_conflicts, each_conflict, reject_conflicts
from trunkline.loading.expressions import named_measures
from trunkline.loading.known_blocks import (
    check_known_blocks,
    count_set_aside,
    has_known_blocks,
    note_known_twins,
    settle_known_blocks,
)
from trunkline.loading.sealing import index_name, make_attachable
from trunkline.loading.staged_tables import (
    STAGING_SCHEMA,
    StagedTable,
    aside_table,
    drop_stage,
    repeats_table,
    staged_tables,
)
from trunkline.loading.staging import BOUNDS_CHECK, no_defaults
from trunkline.loading.tables import CallTable, identifiers

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.layout.model import SequenceRule
    from trunkline.settings.resolution import MaxRejects


query = Queries("loading")

QUIET_PATIENCE, PATIENCE = "3s", "5min"  # for others who write to the call table: without and with a word
IN_TURN = "10s"  # for any other lock, since others wait meanwhile; another attempt follows
KEPT_REJECTS = 1_000  # of a refused source; the query that trims them knows the number, too


class UnchangedError(Exception):
    """Another runner published the same content first: *load_id* is its load.  Not an error for the user."""

    def __init__(self, load_id: int) -> None:
        super().__init__(load_id)
        self.load_id = load_id


class TooManyRejectsError(RefusedError):
    """
    More records were rejected than allowed, or none was left to load.

    Attributes:
        conflicts: Those that were found by comparing with the call table, as far as a refused source keeps rejects;
            the rollback takes them back.
        left_out: How many more there were.
    """

    def __init__(self, message: str, *, conflicts: Sequence[Conflict], left_out: int, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.conflicts = tuple(conflicts)
        self.left_out = left_out


@dataclass(kw_only=True, slots=True)
class _Outcome:
    """What a publish touched: the tables that hold its calls or their twins, and how many calls it replaced."""

    relations: set[int] = field(default_factory=set)
    replaced: int = 0


def take_turn(cursor: Cursor, table: CallTable, warn: Callable[[str], None]) -> None:
    """
    Lock the call table against other writers, in the caller's transaction, which is then to wait for little else.

    Readers go on.

    Raises:
        DatabaseBusyError: If others have kept it locked for all our patience.
    """
    if not _lock(cursor, table, QUIET_PATIENCE):
        warn(f"waiting for another session that writes to {table.qualified}")
        if not _lock(cursor, table, PATIENCE):
            raise DatabaseBusyError(
                f"another session has been writing to {table.qualified} for more than {PATIENCE}",
                hint="end it, if it is a transaction that somebody left open (see pg_locks), and run the same again",
            )
    _wait_for_locks(cursor, IN_TURN)


def _wait_for_locks(cursor: Cursor, patience: str) -> None:
    cursor.execute("select set_config('lock_timeout', %s, true)", [patience])


def _lock(cursor: Cursor, table: CallTable, patience: str) -> bool:
    cursor.execute("savepoint before_lock")
    try:
        _wait_for_locks(cursor, patience)
        cursor.execute(query("lock_call_table", table=table.identifier))
    except LockNotAvailable:
        cursor.execute("rollback to savepoint before_lock")
        return False
    return True


def publish(
    cursor: Cursor,
    table: CallTable,
    load: OpenLoad,
    terms: Terms,
    content: Content,
    *,
    on_conflict: str,
    max_rejects: MaxRejects | None,
    read_raw: ReadRaw,
    sequence: SequenceRule | None = None,
) -> None:
    """
    Publish a staged and sealed load, in the caller's transaction, which ends with this.

    Doing it again after a commit whose reply was lost changes nothing.

    Raises:
        UnchangedError: If another runner published the same content meanwhile.
        ReloadNeededError: If the call table holds this system's calls on other terms.
        TooManyRejectsError: If more records are rejected than *max_rejects* allows.
        StaleStageError: If calls of known blocks are gone.
    """
    if _is_published(cursor, load):
        return
    cursor.execute(query("lock_call_table", table=table.identifier))
    if load.reloads:  # what another run reloaded meanwhile is reloaded as well
        load = replace(load, reloads=loads_of_content(cursor, terms, content.hash))
    elif (other := find_unchanged(cursor, terms, content.hash)) is not None:
        raise UnchangedError(other)
    check_terms(cursor, table, terms, load.reloads)
    check_known_blocks(cursor, load.load_id)
    cursor.execute(query("own_change"), {"own": "on"})
    if load.reloads:
        _take_back(cursor, table, load)
    outcome = _place(cursor, table, load, on_conflict=on_conflict, sequence=sequence)
    _check_rejects(cursor, load, max_rejects)
    reject_conflicts(cursor, load.load_id, each_conflict(cursor, load.load_id), read_raw)
    note_name(cursor, load.load_id, sequence, terms.source, reloads=load.reloads)
    _write_books(cursor, table, load, content, outcome)
    cursor.execute(query("own_change"), {"own": "off"})  # the caller's transaction may go on, and delete calls
    drop_stage(cursor, load.load_id)


def _is_published(cursor: Cursor, load: OpenLoad) -> bool:
    cursor.execute(query("lock_load"), {"load_id": load.load_id})
    row = cursor.fetchone()
    if row is None or str(row[1]) != load.token or row[0] not in ("running", "loaded"):
        raise DatabaseBusyError(
            f"load {load.load_id} was given up or taken over by another run",
            hint="run the same command again: what is loaded stays loaded once",
        )
    return bool(row[0] == "loaded")


def _take_back(cursor: Cursor, table: CallTable, load: OpenLoad) -> None:
    cursor.execute(query("take_back", table=table.identifier), {"load_ids": list(load.reloads)})
    _, relations = _counted(cursor)
    _forget(cursor, load, relations)


def _forget(cursor: Cursor, load: OpenLoad, relations: list[int]) -> None:
    """Let no other load with calls in these tables count as unchanged: calls were taken out of them."""
    if relations:
        cursor.execute(query("forget_relations"), {"load_id": load.load_id, "relations": relations})


def _place(
    cursor: Cursor, table: CallTable, load: OpenLoad, *, on_conflict: str, sequence: SequenceRule | None
) -> _Outcome:
    """Attach each staged table whose partition does not exist; merge the others.  Note the numbers of their calls."""

    def note(staged: StagedTable, calls: sql.Composable) -> None:
        note_numbers(cursor, sequence, staged=calls, aside=aside_table(load.load_id), event_time=table.event_time)

    outcome = _Outcome()
    partitions = partitions_of(cursor, table)
    merge = partial(_merge, cursor, table, load, on_conflict=on_conflict, sequence=sequence, outcome=outcome)
    attachable = table.is_partitioned and not is_replicated(cursor, table)
    new: list[StagedTable] = []
    tables = staged_tables(cursor, load.load_id)
    touched = {staged.relation: relations_of(cursor, table, partitions, staged) for staged in tables}
    compared = _insert_compared(cursor, table, load, tables, touched, on_conflict=on_conflict)
    for staged in tables:
        if staged in compared:
            outcome.relations.update(touched[staged.relation])
            note(staged, compared_calls(table, load.load_id, staged))
        elif touched[staged.relation]:
            outcome.replaced += merge(staged)
            outcome.relations.update(touched[staged.relation])
            note(staged, staged.identifier)
        elif attachable:
            note(staged, staged.identifier)
            new.append(staged)
        else:
            outcome.relations.add(add_partition(cursor, table, load, staged))
            merge(staged)
            note(staged, staged.identifier)
    outcome.relations.update(attach(cursor, table, load, new))
    if not table.is_partitioned:
        outcome.relations.add(oid_of(cursor, table.qualified))
    return outcome


def _insert_compared(
    cursor: Cursor,
    table: CallTable,
    load: OpenLoad,
    tables: Sequence[StagedTable],
    touched: Mapping[str, Sequence[int]],
    *,
    on_conflict: str,
) -> Sequence[StagedTable]:
    """
    Insert the new calls of those tables whose early comparison stands, and return these tables.

    Of the others that were compared it is forgotten; one whose partitions are gone is made ready to be attached.
    """
    early = [staged for staged in tables if staged.compared_with is not None]
    if not early:
        return ()
    states = states_of(cursor, {staged.relation: touched[staged.relation] for staged in early})
    # What repeats a record of a known block has to be told from what repeats another source's, one by one.
    told_apart = has_known_blocks(cursor, load.load_id)
    standing = [
        staged
        for staged in early
        if states[staged.relation] == staged.compared_with and (staged.all_new or not told_apart)
    ]

    def forget(stale: Sequence[StagedTable]) -> None:
        for staged in stale:
            forget_comparison(cursor, load.load_id, staged)
            if not touched[staged.relation]:
                make_attachable(cursor, table, load.load_id, staged, on_conflict=on_conflict)

    forget([staged for staged in early if staged not in standing])
    cursor.execute("savepoint before_insert")
    try:
        complete = insert_compared(cursor, table, load.load_id, standing)
    except UniqueViolation:
        complete = False
    if not complete:  # somebody inserted such calls by hand since, which the books do not notice
        cursor.execute("rollback to savepoint before_insert")
        forget(standing)
        return ()
    for staged in standing:
        twins = twins_of_staged(table, load.load_id, staged)
        compare_repeats(cursor, table, twins, repeats=repeats_table(load.load_id), on_conflict=on_conflict)
    return standing


def attach(cursor: Cursor, table: CallTable, load: OpenLoad, tables: Sequence[StagedTable]) -> list[int]:
    """Make sealed tables of *load* partitions of the call table, and return their numbers."""
    names = _partition_names(cursor, table, load, tables)
    for staged, name in zip(tables, names, strict=True):
        cursor.execute(
            query(
                "attach_staged",
                staged_index=sql.Identifier(STAGING_SCHEMA, index_name(staged.relation)),
                index=sql.Identifier(index_name(name)),
                staged=staged.identifier,
                name=sql.Identifier(name),
                renamed=sql.Identifier(STAGING_SCHEMA, name),
                schema=sql.Identifier(table.schema),
                check=sql.Identifier(BOUNDS_CHECK),
                no_defaults=no_defaults(table),
                **_place_of(table, staged, name),
            )
        )
    numbers = _numbers_of(cursor, table, names)
    return [numbers[name] for name in names]


def add_partition(cursor: Cursor, table: CallTable, load: OpenLoad, staged: StagedTable) -> int:
    """Make an empty partition for what is in a staged table, and return its number."""
    (name,) = _partition_names(cursor, table, load, [staged])
    relation = sql.Identifier(table.schema, name)
    cursor.execute(query("make_partition", relation=relation, table=table.identifier))
    cursor.execute(query("forget_on_change", table=relation))
    cursor.execute(query("attach_partition", **_place_of(table, staged, name)))
    return _numbers_of(cursor, table, [name])[name]


def _place_of(table: CallTable, staged: StagedTable, name: str) -> dict[str, sql.Composable]:
    """Return what says where a partition of this name belongs."""
    return {
        "table": table.identifier,
        "relation": sql.Identifier(table.schema, name),
        "lower": sql.Literal(staged.lower),
        "upper": sql.Literal(staged.upper),
    }


def _partition_names(cursor: Cursor, table: CallTable, load: OpenLoad, tables: Sequence[StagedTable]) -> list[str]:
    """Return free names for partitions: their table's and first day's, and the load's where a relation has that."""
    names = [_partition_name(table, staged) for staged in tables]
    taken = _numbers_of(cursor, table, [*names, *map(index_name, names)]).keys()
    return [f"{name}_{load.load_id}" if taken & {name, index_name(name)} else name for name in names]


def _partition_name(table: CallTable, staged: StagedTable) -> str:
    if staged.lower is None:
        raise DatabaseError(f"{staged.relation} has no bounds to be attached with")
    # PostgreSQL cuts names at 63 bytes; the end is what tells partitions apart.
    return f"{table.name.encode()[:40].decode(errors='ignore')}_{staged.lower:%Y%m%d}"


def _numbers_of(cursor: Cursor, table: CallTable, names: Sequence[str]) -> dict[str, int]:
    """Return the numbers of relations beside the call table; a name that none of them has is left out."""
    schema = sql.Identifier(table.schema).as_string(cursor)  # as `to_regnamespace` reads it
    cursor.execute(query("numbers_of"), {"schema": schema, "names": list(names)})
    return {name: int(number) for name, number in cursor.fetchall()}


def _merge(
    cursor: Cursor,
    table: CallTable,
    load: OpenLoad,
    staged: StagedTable,
    *,
    on_conflict: str,
    sequence: SequenceRule | None,
    outcome: _Outcome,
) -> int:
    """Insert the calls that the call table does not have; return how many it had replaced."""
    twins = twins_of_staged(table, load.load_id, staged)
    which: sql.Composable = ALL
    replaced = 0
    # Nothing is looked for where there is no call: the planner takes a table that it knows to be empty for one that
    # stays so, and would go through all that is inserted meanwhile once for each call.
    if has_any(cursor, table.identifier, twins["bounds"]):
        which = query("is_new", **twins)
        compare(cursor, table, twins, repeats=repeats_table(load.load_id), on_conflict=on_conflict)
        if on_conflict == "replace":
            forget_replaced(cursor, sequence, twins, event_time=table.event_time)
            cursor.execute(query("replace_calls", **twins))
            replaced, relations = _counted(cursor)
            _forget(cursor, load, relations)
    merge_staged(cursor, table, staged, which)
    return replaced


def merge_staged(cursor: Cursor, table: CallTable, staged: StagedTable, which: sql.Composable = ALL) -> None:
    """Insert the calls ``s`` of a staged table, all or *which* of them; the sums are of what was inserted."""
    cursor.execute(query("drop_sums"), {"relation": staged.relation})
    cursor.execute(
        query(
            "merge_staged",
            staged=staged.identifier,
            table=table.identifier,
            columns=identifiers(table.columns),
            s_columns=identifiers(table.columns, "s"),
            which=which,
            sums=named_measures(table),
        ),
        {"relation": staged.relation},
    )


def _counted(cursor: Cursor) -> tuple[int, list[int]]:
    row = cursor.fetchone()
    return (0, []) if row is None else (int(row[0]), list(row[1]))


def _check_rejects(cursor: Cursor, load: OpenLoad, max_rejects: MaxRejects | None) -> None:
    counts = count_staged(cursor, load.load_id)
    conflicts = count_conflicts(cursor, load.load_id)
    rejected = counts.rejected + conflicts
    if max_rejects is not None and not max_rejects.allows(rejected, counts.read):
        message = f"{rejected} of {counts.read} records were rejected, allowed are {max_rejects}"
        advice = "or allow more with '--max-rejects'"
    elif counts.rejected and not counts.typed:
        message = f"none of {counts.read} records could be loaded"
        advice = "is this the right layout?"
    else:
        return
    kept = list(each_conflict(cursor, load.load_id, limit=KEPT_REJECTS))
    raise TooManyRejectsError(
        message,
        conflicts=kept,
        left_out=conflicts - len(kept),
        hint=f"see 'trunkline rejects list --load {load.load_id}', {advice}",
    )


def _write_books(cursor: Cursor, table: CallTable, load: OpenLoad, content: Content, outcome: _Outcome) -> None:
    add_partitions(cursor, table, {load.load_id: outcome.relations})
    aside = aside_table(load.load_id)
    add_totals(cursor, [load.load_id], aside=aside)
    note_known_twins(cursor, load.load_id)
    cursor.execute(query("set_aside", aside=aside))
    duplicates, duplicates_in_source, conflicts = _three(cursor.fetchall())
    if duplicates_in_source or conflicts:
        count_set_aside(cursor, load.load_id)
    known, known_in_source = settle_known_blocks(cursor, load.load_id)
    cursor.execute(query("publish_order"), {"space": LockSpace.BOOKS})
    closing = Closing(
        load=load,
        content=content,
        duplicates=duplicates + count_twins(cursor, load.load_id) + known,
        duplicates_in_source=duplicates_in_source + known_in_source,
        conflicts=conflicts,
        replaced=outcome.replaced,
    )
    close_loaded(cursor, [closing])
    settle_read_again(cursor, [load.load_id])


def _three(rows: Sequence[tuple[int, int, int]]) -> tuple[int, int, int]:
    first, second, third = rows[0]
    return int(first), int(second), int(third)
