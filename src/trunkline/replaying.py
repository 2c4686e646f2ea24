"""Replay: rejects through the same pipeline again, with today's layout.

The replay of a load's rejects is a load of its own, whose books point at the first one.  Its calls, its books and the
new state of the rejects become visible in one transaction.  What still cannot be loaded is no part of it and stays
open.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from blake3 import blake3

from trunkline.blocks import NO_REJECTS, Block, TypedBlock
from trunkline.books.account import Books, CacheCounts, Seconds, Status
from trunkline.books.reading import Which, show_load
from trunkline.books.settling import (
    Origin,
    Rejected,
    count_settled,
    form_of,
    lock_replays,
    origins,
    rejects_to_replay,
    settle_replayed,
)
from trunkline.books.writing import (
    Attempts,
    Content,
    OpenLoad,
    Terms,
    add_costs,
    begin_load,
    check_terms,
    find_ended,
    note_proof,
    note_readings,
    note_warnings,
    terms_of,
)
from trunkline.clock_proof import ClockProofs, check_clocks, prove_clocks
from trunkline.database.queries import Queries
from trunkline.database.retrying import ATTEMPTS, retrying
from trunkline.database.sessions import Sessions
from trunkline.engine import Reading, typed_of
from trunkline.errors import RefusedError, ReloadNeededError, TrunklineError
from trunkline.extraction import extract_block
from trunkline.framing.cutting import SourceForm, frame
from trunkline.framing.records import Damage, split_lines, split_record
from trunkline.layout.files import load_layout
from trunkline.loading.catalog import first_days, partitions_of
from trunkline.loading.publishing import publish
from trunkline.loading.sealing import seal
from trunkline.loading.staged_tables import StagedTable, aside_table
from trunkline.loading.staging import (
    BlockAccount,
    add_blocks,
    check_partition_count,
    copy_rows,
    make_staged,
    open_stage,
    staged_rows,
)
from trunkline.loading.tables import CallTable, ensure_call_table
from trunkline.runner import connect_to_load
from trunkline.transformation import typed_totals

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.layout.files import Layout
    from trunkline.servers import Servers, Warn
    from trunkline.settings.resolution import Settings

query = Queries("rejects")

Kept = tuple[int | None, int]

TOLD = 100  # rejects that stay open are named one by one, up to here


@dataclass(frozen=True, kw_only=True, slots=True)
class StaysOpen:
    """A reject that today's layout does not load either, and why."""

    id: int
    source_line: int
    field: str | None
    code: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Replayed:
    """
    What became of the open rejects of one load.

    Attributes:
        replays: The load whose rejects they are.
        books: Of the replay, over those that left; ``refused`` without a load where none could.
        sent: Rejects that went through the pipeline.
        settled: Rejects whose state changed: those that left, and others of the same bytes.
        stay_open: The first `TOLD` of those that stay open.
        stay_open_by: How many stay open, by the code that they have now.
    """

    replays: int
    books: Books
    sent: int = 0
    settled: int = 0
    stay_open: tuple[StaysOpen, ...] = ()
    stay_open_by: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the books with what else is known of the replay."""
        return self.books.to_dict() | {
            "replays": self.replays,
            "sent": self.sent,
            "settled": self.settled,
            "stay_open_by": dict(sorted(self.stay_open_by.items())),
            "stay_open": [{name: getattr(one, name) for name in StaysOpen.__slots__} for one in self.stay_open],
        }


def replay_rejects(which: Which, settings: Settings, servers: Servers) -> list[Replayed]:
    """
    Send open rejects through the pipeline again, those of each load in a transaction of their own.

    Args:
        which: Rejects; those that are not open, and those of refused sources, are left alone.
        settings: A layout, zone, currency or system in place of those of the first load.

    Returns:
        What became of them, load by load.  An error ends the replay of its load and no other.
    """
    sessions = Sessions(partial(connect_to_load, servers))
    try:
        policy = retrying(attempts=ATTEMPTS, on_retry=servers.on_retry)
        found = policy(_origins, replace(which, state="open"), sessions)
        if which.load is None and which.ids is None:
            refused = sum(origin.count for origin in found if origin.status != "loaded")
            if refused:
                servers.warn(f"{refused:,} open rejects are of sources that were refused; run those again instead")
            found = [origin for origin in found if origin.status == "loaded"]
        replayed = (_replay(origin, which, settings, servers, sessions) for origin in found)
        return [one for one in replayed if one is not None]
    finally:
        sessions.close()


def _origins(which: Which, sessions: Sessions) -> list[Origin]:
    with sessions.borrow() as connection, connection.cursor() as cursor:
        return origins(cursor, which)


def _replay(origin: Origin, which: Which, settings: Settings, servers: Servers, sessions: Sessions) -> Replayed | None:
    attempts = Attempts()
    policy = retrying(attempts=ATTEMPTS, on_retry=servers.on_retry)
    passing: list[_Pass] = []
    try:
        return policy(_attempt, origin, which, settings, servers.warn, sessions, attempts, passing)
    except TrunklineError as error:
        last = passing[-1] if passing else _Pass()
        status: Status = "refused" if isinstance(error, RefusedError) else "failed"
        name = source_name(origin)
        books = Books(source=name, layout=origin.layout, status=status, reason=error.reason)
        return last.outcome(origin, books, settled=0)


def source_name(origin: Origin) -> str:
    """Return what the books call the source of a replay: it names the load that it replays."""
    return f"rejects of load {origin.load_id}: {origin.source}"


@dataclass(kw_only=True, slots=True)
class _Pass:
    """What one way through the pipeline found."""

    sent: int = 0
    left: list[int] = field(default_factory=list)
    ids: dict[int, int] = field(default_factory=dict)  # source line to reject, of calls that might be a conflict
    stay_open: list[StaysOpen] = field(default_factory=list)
    stay_open_by: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    proofs: ClockProofs = field(default_factory=ClockProofs)
    doubts: list[str] = field(default_factory=list)  # about the zone

    def keep_open(self, one: StaysOpen) -> None:
        self.stay_open_by[one.code] += 1
        if len(self.stay_open) < TOLD:
            self.stay_open.append(one)

    def outcome(self, origin: Origin, books: Books, *, settled: int) -> Replayed:
        return Replayed(
            replays=origin.load_id,
            books=books,
            sent=self.sent,
            settled=settled,
            stay_open=tuple(sorted(self.stay_open, key=lambda one: one.source_line)),
            stay_open_by=dict(self.stay_open_by),
        )


class _NoneLeftError(Exception):
    """No open reject is left to be sent."""


class _ConflictsError(Exception):
    """
    Records whose key is loaded with other values: the next pass leaves them out.

    Attributes:
        kept: Source line of each to the load (None: this replay) and the line of the call that is kept.
    """

    def __init__(self, kept: dict[int, Kept]) -> None:
        super().__init__()
        self.kept = kept


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work:
    """What is replayed, and on what terms."""

    origin: Origin
    which: Which
    layout: Layout
    table: CallTable
    terms: Terms
    form: SourceForm
    warn: Warn


def _attempt(
    origin: Origin,
    which: Which,
    settings: Settings,
    warn: Warn,
    sessions: Sessions,
    attempts: Attempts,
    passing: list[_Pass],
) -> Replayed | None:
    """Replay one load's rejects in one transaction, unless a lost COMMIT did it; None if none is left."""
    if origin.status != "loaded":
        raise RefusedError(
            f"load {origin.load_id} is {origin.status}: nothing of its source is in the table, so that its rejects "
            "are not loaded without it",
            hint=f"correct the layout or the file, and run it again: trunkline run {origin.source}",
        )
    layout = _layout_of(origin, settings)
    with sessions.borrow() as connection, connection.cursor() as cursor:
        done = find_ended(cursor, attempts.load_ids)
        if done is not None:
            settled = count_settled(cursor, done)
            return passing[-1].outcome(origin, show_load(connection, done).books, settled=settled)
        table = ensure_call_table(cursor, layout)
        connection.commit()
        cursor.execute("set transaction isolation level read committed")
        cursor.execute("set local lock_timeout = '10s'")  # another attempt follows
        lock_replays(cursor)
        work = _Work(
            origin=origin,
            which=which,
            layout=layout,
            table=table,
            terms=terms_of(layout, table, source_name(origin)),
            form=_today(form_of(cursor, origin.load_id), layout),
            warn=warn,
        )
        _check_terms(cursor, work)
        try:
            replayed = _in_passes(cursor, work, attempts, passing)
        except _NoneLeftError:  # another replay settled them meanwhile, or the same bytes did
            connection.rollback()
            return None
        connection.commit()
        return replayed


def _check_terms(cursor: Cursor, work: _Work) -> None:
    """Refuse a replay on other terms than those of the calls that the table holds, naming a step that helps."""
    try:
        check_terms(cursor, work.table, work.terms, ())
    except ReloadNeededError as error:
        raise ReloadNeededError(
            error.message,
            hint=f"'trunkline run {work.origin.source} --reload' reads the whole source with today's layout, its "
            "rejects included",
        ) from None


def _layout_of(origin: Origin, settings: Settings) -> Layout:
    """
    Return today's layout, with what the first load was told, unless *settings* say otherwise.

    Raises:
        LayoutError: If there is no layout of that name.
        RefusedError: If the layout has another zone or currency now, and nobody says that this is meant.
    """
    layout = load_layout(settings.layout or origin.layout).with_overrides(
        timezone=settings.timezone or origin.given_timezone,
        currency=settings.currency,
        encoding=settings.encoding,
        wrong_zone=settings.wrong_zone,
        system=origin.system if settings.system is None else settings.system,
    )
    layout.check_complete()
    if settings.currency is None and layout.currencies != origin.currency:
        raise RefusedError(
            f"load {origin.load_id} was read in {origin.currency or 'no currency'}, the layout says "
            f"{layout.currencies or 'none'}",
            hint="say which with '--currency'",
        )
    if settings.timezone is None and layout.zones != origin.timezone:
        raise RefusedError(
            f"load {origin.load_id} was read in the zone {origin.timezone or 'none'}, the layout says "
            f"{layout.zones or 'none'}",
            hint="say which with '--timezone'",
        )
    return layout


def _today(form: SourceForm, layout: Layout) -> SourceForm:
    """Return the form with what today's layout states in place of what the first load found."""
    wanted = layout.dialect
    stated = {name: getattr(wanted, name) for name in ("delimiter", "quote", "escape")}
    if not form.dialect.wide and not form.preamble.startswith(codecs.BOM_UTF8):
        stated["encoding"] = wanted.encoding
    dialect = replace(form.dialect, **{name: value for name, value in stated.items() if value is not None})
    dialect = replace(dialect, multiline=dialect.multiline or bool(wanted.multiline))
    if dialect == form.dialect or dialect.wide or not dialect.header:
        return replace(form, dialect=dialect)
    return replace(form, dialect=dialect, header=frame([form.preamble], dialect).header)


def _in_passes(cursor: Cursor, work: _Work, attempts: Attempts, passing: list[_Pass]) -> Replayed:
    """Go through the pipeline until no conflict is among the records: one pass, or two."""
    conflicts: dict[int, Kept] = {}
    while True:
        found = _Pass()
        passing.append(found)
        cursor.execute("savepoint before_pass")
        try:
            load = _pass(cursor, work, conflicts, found)
        except _ConflictsError as error:
            cursor.execute("rollback to savepoint before_pass")
            conflicts |= {found.ids[line]: kept for line, kept in error.kept.items()}
            continue
        break
    note_warnings(cursor, load.load_id, found.doubts)
    for doubt in found.doubts:
        work.warn(f"{work.terms.source}: {doubt}")
    attempts.load_ids.append(load.load_id)
    settled = settle_replayed(cursor, load.load_id, found.left)
    add_costs(cursor, {load.load_id: (CacheCounts(), Seconds(total=perf_counter() - attempts.began))})
    return found.outcome(work.origin, show_load(cursor.connection, load.load_id).books, settled=settled)


def _pass(cursor: Cursor, work: _Work, conflicts: dict[int, Kept], found: _Pass) -> OpenLoad:
    """Stage and publish all that can be loaded, in the caller's transaction."""
    load_id, layout, table = work.origin.load_id, work.layout, work.table
    load = begin_load(cursor, work.terms, content=None, resume_key=None, replays=load_id)
    note_readings(cursor, {load.load_id: work.form})
    open_stage(cursor, table, load.load_id)
    partitions = partitions_of(cursor, table)
    there = first_days(partitions)
    made: dict[date | None, StagedTable] = {}
    hasher = blake3(f"rejects of load {load_id}".encode())
    pages = rejects_to_replay(cursor, load_id, work.which)
    for position, (typed, data) in enumerate(_typed_blocks(pages, work, conflicts, found)):
        hasher.update(data)
        rows = staged_rows(typed, table, first_line=0)
        missing = [start for start, _, _ in rows.runs if start not in made]
        check_partition_count({*made, *missing}, there)
        made |= make_staged(cursor, table, load.load_id, missing, system=work.terms.system)
        copy_rows(cursor, table, rows, made)
        block = Block(position=position, first_byte=found.bytes, first_line=1, data=data, lines=typed.read)
        totals = typed_totals(typed.batch, layout)
        add_blocks(cursor, BlockAccount(load_id=load.load_id, block=block, typed=typed, identity="", totals=totals))
        found.bytes += len(data)
        found.proofs += prove_clocks(typed.batch, layout)
    if not found.sent:
        raise _NoneLeftError
    if not found.left:
        raise RefusedError(
            f"none of {found.sent} records could be loaded: they stay open",
            hint="correct the layout, or export, edit and run them",
        )
    if check_clocks(found.proofs, layout, warn=found.doubts.append):
        note_proof(cursor, load.load_id)
    for staged in made.values():
        seal(cursor, table, load, staged, on_conflict=layout.on_conflict, partitions=partitions)

    def conflicts_found(lines: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """Give up this pass if there is a conflict; publishing asks for the bytes of conflicts only."""
        cursor.execute(query("kept_of_conflicts", aside=aside_table(load.load_id)))
        kept: dict[int, Kept] = {
            line: (None if kept_load == load.load_id else kept_load, kept_line)
            for line, kept_load, kept_line in cursor.fetchall()
        }
        if kept:
            raise _ConflictsError(kept)
        return iter(())

    # Of the rejects and not of a file: the hash of what the load brought, and which rejects it was.
    hasher.update(np.array(found.left, dtype=np.int64).tobytes())
    content = Content(hash=hasher.hexdigest(), bytes=found.bytes)
    publish(
        cursor,
        table,
        load,
        work.terms,
        content,
        on_conflict=layout.on_conflict,
        max_rejects=None,
        read_raw=conflicts_found,
        sequence=layout.sequence,
    )
    return load


def _typed_blocks(
    pages: Iterator[list[Rejected]], work: _Work, conflicts: dict[int, Kept], found: _Pass
) -> Iterator[tuple[TypedBlock, bytes]]:
    """Yield the calls of rejects, with the lines of their first source, and the bytes; what stays open is noted."""
    for page in pages:
        found.sent += len(page)
        for reject in page:
            if reject.id in conflicts:
                found.keep_open(_conflict(reject, conflicts[reject.id]))
        rest = [reject for reject in page if reject.id not in conflicts]
        whole, alone = _apart(rest, work.form)
        for group in ([whole] if whole else []) + [[reject] for reject in alone]:
            typed, data = _typed(group, work.layout, work.form, found)
            if typed.read:
                yield typed, data


def _apart(rejects: list[Rejected], form: SourceForm) -> tuple[list[Rejected], list[Rejected]]:
    """
    Return rejects that can be read one after the other, and those that must be alone.

    Where a quoted field may hold line ends, an open quote would take the next record in.
    """
    if not form.dialect.multiline:
        return rejects, []
    damaged = {reject.id for reject in rejects if isinstance(split_record(reject.raw, form.dialect), Damage)}
    return [one for one in rejects if one.id not in damaged], [one for one in rejects if one.id in damaged]


def _typed(rejects: list[Rejected], layout: Layout, form: SourceForm, found: _Pass) -> tuple[TypedBlock, bytes]:
    """Return the calls of some rejects; *found* learns which left and which stay."""
    data = b"".join(reject.raw + b"\n" for reject in rejects)
    lengths = [max(1, len(split_lines(reject.raw))) for reject in rejects]
    starts = np.cumsum([0, *lengths[:-1]])
    block = Block(position=0, first_byte=0, first_line=1, data=data, lines=sum(lengths))
    reading = Reading(header=form.header, dialect=form.dialect, layout=layout)
    typed = typed_of(block, extract_block(block, form.header, form.dialect), reading)
    places = np.searchsorted(starts, typed.lines, side="right") - 1
    bad = typed.rejects.to_pylist()
    bad_places = {int(np.searchsorted(starts, one["line"], side="right")) - 1: one for one in reversed(bad)}
    keep = np.array([int(place) not in bad_places for place in places], dtype=np.bool_)
    for place, reject in enumerate(rejects):
        why = bad_places.get(place)
        if why is None:
            found.left.append(reject.id)
        else:
            told = {name: why[name] for name in ("field", "code", "message")}
            found.keep_open(StaysOpen(id=reject.id, source_line=reject.source_line, **told))
    lines = np.array([reject.source_line for reject in rejects], dtype=np.int64)
    batch = typed.batch.filter(pa.array(keep))
    found.ids |= {rejects[int(place)].source_line: rejects[int(place)].id for place in places[keep]}
    left = len(rejects) - len(bad_places)
    filtered = left - batch.num_rows
    calls = replace(
        typed, batch=batch, lines=lines[places[keep]], rejects=NO_REJECTS, read=left, filtered=max(filtered, 0)
    )
    return calls, data


def _conflict(reject: Rejected, kept: Kept) -> StaysOpen:
    load_id, line = kept
    whose = f"load {load_id}, line {line}" if load_id is not None else f"line {line}, replayed with it,"
    message = f"the call of {whose} has the same key and other values, and is kept"
    return StaysOpen(id=reject.id, source_line=reject.source_line, field=None, code="conflict", message=message)
