"""One source from end to end: framed into blocks, worked on side by side, staged, sealed, published with its books.

Everything that an attempt has done safely is in the database.  So a later attempt, of this run or of another, goes on
where this one stopped: it asks the database which blocks are staged, and never its own memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, groupby, islice
from time import thread_time
from typing import TYPE_CHECKING, TypeVar

from trunkline import __version__
from trunkline.blocks import Block
from trunkline.books.account import Books
from trunkline.books.reading import show_load
from trunkline.books.sequences import note_name
from trunkline.books.writing import (
    Attempts,
    Content,
    Costs,
    OpenLoad,
    ReadRaw,
    StagedBlock,
    Terms,
    add_costs,
    begin_load,
    check_terms,
    count_staged,
    disown_loads,
    earlier_load,
    fail_load,
    find_ended,
    hold_load,
    left_loads,
    loads_of_content,
    note_readings,
    note_verdict,
    note_warnings,
    own_load,
    refuse_load,
    staged_blocks,
    staged_findings,
    unchanged_books,
)
from trunkline.clock_proof import ClockProofs, prove_clocks
from trunkline.database.errors import translated
from trunkline.engine import (
    BLOCKS_WAITING,
    Task,
    WorkedBlock,
    bytes_of,
    each,
    framed_source,
    read_again,
)
from trunkline.errors import DatabaseAwayError, DatabaseBusyError, RefusedError, TrunklineError
from trunkline.evidence import Evidence, judge_source
from trunkline.framing.cutting import EarlierBlock, SourceForm
from trunkline.layout.header_match import left_out
from trunkline.loading.catalog import Partition, first_days, partitions_of
from trunkline.loading.conflicts import Conflict, reject_conflicts
from trunkline.loading.known_blocks import StaleStageError, add_known_blocks
from trunkline.loading.leftovers import discard
from trunkline.loading.publishing import TooManyRejectsError, UnchangedError, publish, take_turn
from trunkline.loading.sealing import seal
from trunkline.loading.stage import Seal, Stage, seal_rest
from trunkline.loading.staged_tables import StagedTable, drop_stage, staged_tables
from trunkline.loading.staging import BlockAccount, add_blocks, add_rejects, copy_rows, open_stage, staged_rows
from trunkline.trailers import Counts
from trunkline.transformation import typed_totals

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.database.sessions import Sessions
    from trunkline.engine import Engine
    from trunkline.layout.files import Layout
    from trunkline.loading.tables import CallTable
    from trunkline.progress import ProgressPort
    from trunkline.servers import Warn
    from trunkline.settings.resolution import MaxRejects
    from trunkline.sources.source import Source

KNOWN_AT_ONCE = 4  # blocks: asking for one takes as long as for several, and those that are not known wait in memory

AnyBlock = TypeVar("AnyBlock", Block, EarlierBlock)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """
    A source to be loaded, and all that is settled before its first block.

    Attributes:
        engine: Where blocks are worked on.
        sessions: Where workers borrow connections.
        warn: Told what is doubtful about a source that is loaded, and when the load waits for another.
        reload: Replace what the same content brought before.
        workers: Threads, each with a connection of its own.
    """

    source: Source
    content: Content
    layout: Layout
    table: CallTable
    terms: Terms
    sessions: Sessions
    engine: Engine
    progress: ProgressPort
    warn: Warn
    max_rejects: MaxRejects | None
    reload: bool
    workers: int

    @property
    def resume_key(self) -> str:
        """What must be equal for another run to go on with the blocks of this one."""
        return self._key("alone")

    @property
    def joint_key(self) -> str:
        """The same of a load together with others, whose blocks nobody goes on with: they are in tables of all."""
        return self._key("together")

    def _key(self, way: str) -> str:
        parts = (self.terms.source, self.content.hash, self.terms.layout_fingerprint, self.terms.key_fingerprint)
        text = "\n".join((*parts, self.terms.call_table, self.terms.system, str(self.reload), __version__, way))
        return hashlib.sha256(text.encode()).hexdigest()


def load_source(job: Job, attempts: Attempts) -> Books:
    """
    Load a source that is not unchanged, or go on with what an earlier attempt left.

    Returns:
        The books as they stand in the database: ``loaded``, ``refused``, or ``unchanged`` where another runner
        published the same content first.

    Raises:
        DatabaseAwayError: If the connection was lost: another attempt goes on.
        TrunklineError: If the load failed; the books say so where they could be written.
    """
    with job.sessions.borrow() as connection:
        ended = _ended(connection, attempts)
        if ended is not None:
            return _finish(connection, job, ended, attempts)
        load = _open(connection, job)
        attempts.load_ids.append(load.load_id)
        try:
            with translated():
                _check_terms(connection, job, load)
                _judge(connection, job, load, _stage(connection, job, load, attempts))
                _seal(connection, job, load)
                _publish(connection, job, load)
        except UnchangedError as unchanged:
            _drop(connection, load)
            if unchanged.load_id in attempts.load_ids:
                return _finish(connection, job, unchanged.load_id, attempts)
            with connection.cursor() as cursor:
                note_name(cursor, unchanged.load_id, job.layout.sequence, job.source.name)
            connection.commit()
            return unchanged_books(connection, unchanged.load_id, job.source.name, attempts)
        except TooManyRejectsError as refusal:
            _refuse(connection, job, load, refusal, conflicts=refusal.conflicts, left_out=refusal.left_out)
        except RefusedError as refusal:
            _refuse(connection, job, load, refusal)
        except StaleStageError as stale:
            _fail(connection, load, stale)
            raise
        except (DatabaseAwayError, DatabaseBusyError):
            raise  # the load stays open: the next attempt goes on with it
        except TrunklineError as error:
            _fail(connection, load, error)
            raise
        return _finish(connection, job, load.load_id, attempts)


def _ended(connection: Connection, attempts: Attempts) -> int | None:
    """Return the load of an earlier attempt that was published or refused although no reply to its COMMIT came."""
    with connection.cursor() as cursor:
        load_id = find_ended(cursor, attempts.load_ids)
    connection.commit()
    return load_id


def _open(connection: Connection, job: Job) -> OpenLoad:
    """Open the books of the load, or take up those that an attempt before left open."""
    with connection.cursor() as cursor:
        reloads = loads_of_content(cursor, job.terms, job.content.hash) if job.reload else ()
        left = left_loads(cursor, job.resume_key)
        discard(cursor, (load.load_id for load in (*left[1:], *left_loads(cursor, job.joint_key))))
        if left:
            load = replace(left[0], reloads=reloads)
        else:
            load = begin_load(cursor, job.terms, content=job.content, resume_key=job.resume_key, reloads=reloads)
            own_load(cursor, load.load_id)
            open_stage(cursor, job.table, load.load_id)
    connection.commit()
    return load


def _check_terms(connection: Connection, job: Job, load: OpenLoad) -> None:
    """Refuse at once what publishing would refuse, before any work."""
    with connection.cursor() as cursor:
        check_terms(cursor, job.table, job.terms, load.reloads)
    connection.commit()


def _stage(connection: Connection, job: Job, load: OpenLoad, attempts: Attempts) -> Evidence:
    """
    Stage every block that is not staged yet.

    Returns:
        What all blocks show, those of earlier attempts included.

    Raises:
        SourceChangedError: If the source changed while it was read.
        DatabaseAwayError: If blocks that were acknowledged are gone, as after a crash of the server.
    """
    with connection.cursor() as cursor:
        done = staged_blocks(cursor, load.load_id)
        left = staged_tables(cursor, load.load_id)
        partitions = partitions_of(cursor, job.table)
        earlier = earlier_load(cursor, job.terms)
    connection.commit()
    framed = framed_source(job.source, job.layout, earlier)
    reading = framed.reading
    attempts.unknown_columns = left_out(reading.header, job.layout)
    _note_form(connection, load, framed.form)
    stage = Stage(
        job.sessions,
        job.table,
        load,
        # Of two records with one key the later one replaces: an earlier choice would not stand.
        None if job.layout.on_conflict == "replace" else _seal_beside(job, load, partitions),
        system=job.terms.system,
        there=first_days(partitions),
        left=left,
        left_blocks=done.keys(),
    )

    def work(block: Block) -> tuple[Block, Costs, ClockProofs]:
        costs, proved = settle(block)
        stage.done(block.position)
        return block, costs, proved

    def settle(block: Block) -> tuple[Costs, ClockProofs]:
        task = Task.of(job.source, block, reading)
        if _is_staged(block, task.identity, done.get(block.position)):
            if not job.layout.clocks:
                return Costs(), ClockProofs()
            worked = job.engine.work(task)  # the proof is over the whole source
            return worked.costs, prove_clocks(worked.typed.batch, job.layout)
        if block.position in done:  # only a crash of the server, without its last commits, does that
            raise StaleStageError("an earlier attempt left calls that do not fit the source")
        if not block.identity and _known_of(job, load, [block], [task.identity]):  # those found again were asked for
            return Costs(), ClockProofs()
        worked = job.engine.work(task)
        began = thread_time()
        _stage_block(job, load, stage, task, worked)
        costs = worked.costs + Costs(load_s=thread_time() - began)
        return costs, prove_clocks(worked.typed.batch, job.layout)

    positions: set[int] = set()

    def unsettled(blocks: Sequence[AnyBlock]) -> list[AnyBlock]:
        """Settle those of some blocks, found again where they were, that need no work; return the others."""
        new = [block for block in blocks if block.position not in done]
        settled = _known_of(job, load, new, [block.identity for block in new])
        for block in blocks:
            if not job.layout.clocks and _is_staged(block, block.identity, done.get(block.position)):
                settled.add(block.position)
            if block.position in settled:
                positions.add(block.position)
                stage.done(block.position)
                job.progress.advance(block.size, block.lines)
        return [block for block in blocks if block.position not in settled]

    unread = unsettled(framed.again)
    reread = (read_again(job.source, reading, block) for block in unread)
    blocks = chain(reread, _but_settled(framed.blocks, unsettled))
    proofs = ClockProofs()
    at_once = job.engine.at_once
    with ThreadPoolExecutor(at_once, thread_name_prefix="trunkline") as executor:
        in_work = at_once + BLOCKS_WAITING
        for block, costs, proved in each(executor, work, blocks, in_work=in_work, size=bytes_of):
            positions.add(block.position)
            attempts.costs += costs
            proofs += proved
            job.progress.advance(block.size, block.lines)
    job.source.check_unchanged(may_grow=job.layout.growing)
    with connection.cursor() as cursor:
        staged = staged_blocks(cursor, load.load_id).keys()
        findings = staged_findings(cursor, load.load_id)
        counted = count_staged(cursor, load.load_id)
    connection.commit()
    if lost := positions - staged:
        raise DatabaseAwayError(f"{len(lost)} staged blocks are gone: the server restarted without them")
    if staged - positions:  # where blocks end depends on the load before, which may be another by now
        raise StaleStageError("an earlier attempt left blocks that the source does not have")
    return Evidence(
        skip_lines=reading.dialect.skip_lines,
        header=reading.header,
        proofs=proofs,
        findings=findings,
        cr_only=framed.cr_only,
        counts=Counts(
            read=counted.read, rejected=counted.rejected, filtered=counted.read - counted.typed - counted.rejected
        ),
    )


def _judge(connection: Connection, job: Job, load: OpenLoad, evidence: Evidence) -> None:
    """
    Say what is doubtful about a source, and note it in the books, with whether its zone is proved.

    Raises:
        RefusedError: If values were surely read wrong.
    """
    warnings: list[str] = list(job.source.doubts)
    verdict = None
    try:
        verdict = judge_source(evidence, job.layout, warn=warnings.append)
    finally:
        for warning in warnings:
            job.warn(f"{job.source.name}: {warning}")
        with connection.cursor() as cursor:
            cursor.execute("set local synchronous_commit = off")  # what ends the load is synchronous
            note_warnings(cursor, load.load_id, warnings)
            if verdict is not None:
                note_verdict(cursor, load.load_id, verdict)
        connection.commit()


def _note_form(connection: Connection, load: OpenLoad, form: SourceForm) -> None:
    with connection.cursor() as cursor:
        cursor.execute("set local synchronous_commit = off")
        note_readings(cursor, {load.load_id: form})
    connection.commit()


def _is_staged(block: Block | EarlierBlock, identity: str, staged: StagedBlock | None) -> bool:
    return staged == StagedBlock(first_byte=block.first_byte, first_line=block.first_line, identity=identity)


def _but_settled(blocks: Iterable[Block], unsettled: Callable[[Sequence[Block]], Iterable[Block]]) -> Iterator[Block]:
    """Yield blocks but, of those found again where they were, only what is *unsettled*; some are asked for at once."""
    for found_again, some in groupby(blocks, lambda block: bool(block.identity)):
        if not found_again:
            yield from some
        while at_once := list(islice(some, KNOWN_AT_ONCE)):
            yield from unsettled(at_once)


def _known_of(job: Job, load: OpenLoad, blocks: Sequence[Block | EarlierBlock], identities: Iterable[str]) -> set[int]:
    """Account for those of *blocks* whose calls are in the table, and return their positions."""
    # Of two records with one key, the later one replaces; so a known block may not step back behind a new one.
    if load.reloads or job.layout.on_conflict == "replace" or not blocks:
        return set()
    with job.sessions.borrow() as connection:
        with connection.cursor() as cursor:
            hold_load(cursor, load)
            known = add_known_blocks(cursor, load.load_id, job.terms, blocks, identities)
        connection.commit()
    return known


def _stage_block(job: Job, load: OpenLoad, stage: Stage, task: Task, worked: WorkedBlock) -> None:
    block, typed = task.block, worked.typed
    rows = staged_rows(typed, job.table, first_line=block.first_line)
    starts = (start for start, _, _ in rows.runs)
    with stage.filling(block.position, starts) as staged, job.sessions.borrow() as connection:
        with connection.cursor() as cursor:
            hold_load(cursor, load)
            copy_rows(cursor, job.table, rows, staged)
            if typed.rejects.num_rows:
                records = task.reading.records_of(block)
                add_rejects(cursor, load.load_id, typed.rejects, first_line=block.first_line, records=records)
            totals = typed_totals(typed.batch, job.layout)
            account = BlockAccount(
                load_id=load.load_id, block=block, typed=typed, identity=task.identity, totals=totals
            )
            add_blocks(cursor, account)
        connection.commit()


def _seal(connection: Connection, job: Job, load: OpenLoad) -> None:
    with connection.cursor() as cursor:
        partitions = partitions_of(cursor, job.table)
    connection.commit()
    seal_rest(job.sessions, load, _seal_beside(job, load, partitions), workers=job.workers)


def _seal_beside(job: Job, load: OpenLoad, partitions: Sequence[Partition]) -> Seal:
    """Return what seals a staged table of a load for a call table that has these partitions."""

    def seal_one(cursor: Cursor, staged: StagedTable) -> StagedTable:
        return seal(cursor, job.table, load, staged, on_conflict=job.layout.on_conflict, partitions=partitions)

    return seal_one


def _publish(connection: Connection, job: Job, load: OpenLoad) -> None:
    with connection.cursor() as cursor:
        cursor.execute("set transaction isolation level read committed")
        cursor.execute("set local synchronous_commit = on")
        take_turn(cursor, job.table, job.warn)
        publish(
            cursor,
            job.table,
            load,
            job.terms,
            job.content,
            on_conflict=job.layout.on_conflict,
            max_rejects=job.max_rejects,
            read_raw=_raw_reader(job),
            sequence=job.layout.sequence,
        )
    connection.commit()


def _raw_reader(job: Job) -> ReadRaw:
    """Return what finds the original bytes of records: the source is read once more, as far as they go."""

    def read(lines: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        wanted = iter(lines)
        line = next(wanted, None)
        if line is None:
            return
        framed = framed_source(job.source, job.layout)
        for block in framed.blocks:
            records = framed.reading.records_of(block)
            while line is not None and line < block.first_line + block.lines:
                yield records.find(line)
                line = next(wanted, None)
            if line is None:
                break
        job.source.check_unchanged(may_grow=job.layout.growing)

    return read


def _refuse(
    connection: Connection,
    job: Job,
    load: OpenLoad,
    refusal: RefusedError,
    *,
    conflicts: Sequence[Conflict] = (),
    left_out: int = 0,
) -> None:
    """Take back what was staged, and keep the books of the refusal."""
    connection.rollback()
    with connection.cursor() as cursor:
        reject_conflicts(cursor, load.load_id, conflicts, _raw_reader(job))
        drop_stage(cursor, load.load_id)
        refuse_load(cursor, load, refusal.reason, content=job.content, left_out=left_out)
    connection.commit()


def _fail(connection: Connection, load: OpenLoad, error: TrunklineError) -> None:
    connection.rollback()
    with connection.cursor() as cursor:
        drop_stage(cursor, load.load_id)
        fail_load(cursor, load.load_id, error.reason)
    connection.commit()


def _drop(connection: Connection, load: OpenLoad) -> None:
    connection.rollback()
    with connection.cursor() as cursor:
        discard(cursor, [load.load_id])
    connection.commit()


def _finish(connection: Connection, job: Job, load_id: int, attempts: Attempts) -> Books:
    """Note what the load cost, and return its books."""
    with connection.cursor() as cursor:
        add_costs(cursor, {load_id: attempts.paid()})
        disown_loads(cursor, [load_id])
        discard(cursor, (load.load_id for load in left_loads(cursor, job.resume_key, job.joint_key)))
    books = replace(show_load(connection, load_id).books, unknown_columns=attempts.unknown_columns)
    connection.commit()
    return books
