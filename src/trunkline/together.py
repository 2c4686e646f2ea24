"""Many small sources at once: worked on and staged side by side, in tables of all, then published in one transaction.

A load of its own takes a dozen commits and some tables that are made and dropped.  Each source still has its own
books, and is there as a whole or not at all.  What cannot be loaded this way, since it is to be refused, or has calls
that are there already, is left to `pipeline`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from time import thread_time
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa

from trunkline.books.reading import show_loads
from trunkline.books.writing import (
    Costs,
    add_costs,
    begin_load,
    discard_loads,
    disown_loads,
    left_loads,
    note_readings,
    note_verdict,
    note_warnings,
    own_load,
)
from trunkline.clock_proof import ClockProofs, prove_clocks
from trunkline.database.errors import translated
from trunkline.engine import FramedSource, Reading, Task, WorkedBlock, framed_source
from trunkline.errors import TrunklineError
from trunkline.evidence import Evidence, Verdict, judge_source
from trunkline.findings import Findings
from trunkline.framing.borders import BLOCK_SIZES
from trunkline.framing.cutting import SourceForm
from trunkline.layout.header_match import left_out
from trunkline.loading.catalog import partitions_of
from trunkline.loading.joint import JointLoad, JointStage, give_up, publish_joint
from trunkline.loading.leftovers import discard
from trunkline.loading.publishing import take_turn
from trunkline.loading.staged_tables import drop_stage
from trunkline.loading.staging import BlockAccount, add_blocks, add_rejects, make_aside, starts_in, with_lines
from trunkline.trailers import Counts
from trunkline.transformation import typed_totals

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.blocks import Block, TypedTotals
    from trunkline.books.account import Books
    from trunkline.books.writing import Attempts, OpenLoad
    from trunkline.loading.tables import CallTable
    from trunkline.pipeline import Job

Item = TypeVar("Item")
Result = TypeVar("Result")

SOURCES_AT_ONCE = 16  # as one; more cost no less each, and leave fewer threads something to do
GROUPS_WAITING = 1  # beside those in work, as with blocks
_PACKED = 8  # bytes of call logs in one of a compressed source, about
MOST_BLOCKS = 2  # of a small source; what decompresses to more is not small


@dataclass(frozen=True, kw_only=True, slots=True)
class _Group:
    """Some sources that are worked on and staged at a time, with their loads; the *position*-th of all groups."""

    position: int
    jobs: tuple[Job, ...]
    loads: tuple[OpenLoad, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cut:
    """A source cut into blocks."""

    job: Job
    framed: FramedSource
    tasks: tuple[Task, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Worked:
    """A source whose calls are typed and ready to be staged."""

    form: SourceForm
    reading: Reading
    blocks: tuple[tuple[Block, str, WorkedBlock], ...]
    totals: tuple[TypedTotals, ...]  # of each block
    warnings: tuple[str, ...]
    verdict: Verdict
    unknown_columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Staged:
    """A source whose calls are staged, with what that cost and its size as it is read."""

    joint: JointLoad
    costs: Costs
    unknown_columns: tuple[str, ...]
    bytes: int
    lines: int


def load_together(jobs: Sequence[Job], attempts: Sequence[Attempts]) -> list[Books | None]:
    """
    Load sources on the same terms, of different contents that are not loaded yet.

    Args:
        jobs: In the order in which they would be loaded one by one.
        attempts: One for each; learn what it cost, and which load it is, in case the reply to COMMIT is lost.

    Returns:
        The books of each, None for those that have to be loaded for themselves; in their place, nothing was done.
    """
    books: list[Books | None] = [None] * len(jobs)
    with suppress(TrunklineError):  # whichever source it is about: loaded for itself, it says so
        books = _load_together(jobs, attempts)
    for job, loaded in zip(jobs, books, strict=True):
        for warning in loaded.warnings if loaded else ():
            job.warn(f"{job.source.name}: {warning}")
    return books


def _load_together(jobs: Sequence[Job], attempts: Sequence[Attempts]) -> list[Books | None]:
    with jobs[0].sessions.borrow() as connection:
        loads = _open(connection, jobs)
        try:
            with translated():
                books = _load(connection, jobs, loads, attempts)
        except TrunklineError:
            connection.rollback()
            with connection.cursor() as cursor:
                give_up(cursor, loads)
            connection.commit()
            raise
        with connection.cursor() as cursor:
            disown_loads(cursor, [load.load_id for load in loads])
        connection.commit()
        return books


def _open(connection: Connection, jobs: Sequence[Job]) -> list[OpenLoad]:
    """Open the books of all, and commit; what an attempt before left of them is dropped."""
    loads = []
    with connection.cursor() as cursor:
        discard(cursor, (load.load_id for load in left_loads(cursor, *(job.joint_key for job in jobs))))
        for job in jobs:
            load = begin_load(cursor, job.terms, content=job.content, resume_key=job.joint_key)
            own_load(cursor, load.load_id)
            loads.append(load)
        make_aside(cursor, loads[0].load_id)
    connection.commit()
    return loads


def _load(
    connection: Connection, jobs: Sequence[Job], loads: Sequence[OpenLoad], attempts: Sequence[Attempts]
) -> list[Books | None]:
    first, owner = jobs[0], loads[0]
    with connection.cursor() as cursor:
        partitions = partitions_of(cursor, first.table)
    connection.commit()
    stage = JointStage(first.sessions, first.table, owner, partitions, system=first.terms.system)
    staged = list(_stage_all(stage, jobs, loads, attempts))
    joint = [each.joint for each in staged if each is not None]
    if joint:
        stage.seal(workers=first.workers)
    with connection.cursor() as cursor:
        if joint:
            cursor.execute("set transaction isolation level read committed")
            cursor.execute("set local synchronous_commit = on")
            take_turn(cursor, first.table, first.warn)
            publish_joint(cursor, first.table, owner, joint, sequence=first.layout.sequence)
            paid = {load.load_id: attempt.paid() for load, attempt in zip(loads, attempts, strict=True)}
            add_costs(cursor, {load.load.load_id: paid[load.load.load_id] for load in joint})
        drop_stage(cursor, *(load.load_id for load in loads))
        # The owner may be among those that are not loaded: it goes when nothing of it is left.
        discard_loads(cursor, [load.load_id for load, each in zip(loads, staged, strict=True) if each is None])
    entries = show_loads(connection, [each.load.load_id for each in joint])
    connection.commit()
    return [
        replace(entries[load.load_id].books, unknown_columns=each.unknown_columns) if each else None
        for load, each in zip(loads, staged, strict=True)
    ]


def _stage_all(
    stage: JointStage, jobs: Sequence[Job], loads: Sequence[OpenLoad], attempts: Sequence[Attempts]
) -> Iterator[_Staged | None]:
    engine = jobs[0].engine
    with ThreadPoolExecutor(engine.at_once, thread_name_prefix="trunkline") as executor:
        work = partial(_work_and_stage, stage)
        groups = _in_order(executor, work, _in_groups(jobs, loads), in_work=engine.at_once + GROUPS_WAITING)
        for job, load, attempt, each in zip(jobs, loads, attempts, chain.from_iterable(groups), strict=True):
            if each is not None:
                attempt.load_ids.append(load.load_id)
                attempt.costs += each.costs
                attempt.unknown_columns = each.unknown_columns
                job.progress.advance(each.bytes, each.lines)
            yield each


def _work_and_stage(stage: JointStage, group: _Group) -> list[_Staged | None]:
    return _stage(stage, group, _work(group.jobs))


def _work(jobs: Sequence[Job]) -> list[_Worked | None]:
    """Return the calls of some sources, None for each that is not small, or would be refused."""
    cut = [_cut(job) for job in jobs]
    tasks = [task for each in cut if each is not None for task in each.tasks]
    try:
        blocks = iter(jobs[0].engine.work_each(tasks))
    except TrunklineError:  # whichever of them it is about
        return [None] if len(jobs) == 1 else [worked for job in jobs for worked in _work([job])]
    return [None if each is None else _judged(each, list(islice(blocks, len(each.tasks)))) for each in cut]


def _cut(job: Job) -> _Cut | None:
    """Return a source cut into blocks, None where it is not small, or cannot be read."""
    try:
        framed = framed_source(job.source, job.layout)
        blocks = list(islice(framed.blocks, MOST_BLOCKS + 1))
        job.source.check_unchanged()
    except TrunklineError:
        return None
    if len(blocks) > MOST_BLOCKS:
        return None
    tasks = tuple(Task.of(job.source, block, framed.reading) for block in blocks)
    return _Cut(job=job, framed=framed, tasks=tasks)


def _judged(cut: _Cut, blocks: Sequence[WorkedBlock]) -> _Worked | None:
    """Return the calls of a source that was worked on, None where it would be refused."""
    job, framed = cut.job, cut.framed
    typed = [worked.typed for worked in blocks]
    counts = Counts(
        read=sum(block.read for block in typed),
        rejected=sum(block.rejects.num_rows for block in typed),
        filtered=sum(block.filtered for block in typed),
    )
    is_refused = job.max_rejects is not None and not job.max_rejects.allows(counts.rejected, counts.read)
    if is_refused or (counts.rejected and counts.rejected + counts.filtered == counts.read):
        return None
    evidence = Evidence(
        skip_lines=framed.reading.dialect.skip_lines,
        header=framed.reading.header,
        proofs=sum((prove_clocks(block.batch, job.layout) for block in typed), ClockProofs()),
        findings=sum((block.findings for block in typed), Findings()),
        cr_only=framed.cr_only,
        counts=counts,
    )
    warnings = list(job.source.doubts)
    try:
        verdict = judge_source(evidence, job.layout, warn=warnings.append)
    except TrunklineError:
        return None
    return _Worked(
        form=framed.form,
        reading=framed.reading,
        blocks=tuple((task.block, task.identity, worked) for task, worked in zip(cut.tasks, blocks, strict=True)),
        totals=tuple(typed_totals(block.batch, job.layout) for block in typed),
        warnings=tuple(warnings),
        verdict=verdict,
        unknown_columns=left_out(framed.reading.header, job.layout),
    )


def _in_groups(jobs: Iterable[Job], loads: Iterable[OpenLoad]) -> Iterator[_Group]:
    rest = iter(loads)
    for position, some in enumerate(_some_at_once(jobs)):
        yield _Group(position=position, jobs=tuple(some), loads=tuple(islice(rest, len(some))))


def _some_at_once(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    """Yield some sources at a time, in their order, that are about as many bytes as one block."""
    group: list[Job] = []
    size = 0
    for job in jobs:
        likely = job.content.bytes * (1 if job.source.location else _PACKED)
        if group and (len(group) == SOURCES_AT_ONCE or size + likely > BLOCK_SIZES.usual):
            yield group
            group, size = [], 0
        group.append(job)
        size += likely
    if group:
        yield group


def _stage(stage: JointStage, group: _Group, worked: Sequence[_Worked | None]) -> list[_Staged | None]:
    """Stage the calls of some sources with what their books keep of them, in one transaction; None stays None."""
    table = group.jobs[0].table
    began = thread_time()
    rows = [_rows(load, each) if each else [] for load, each in zip(group.loads, worked, strict=True)]
    with stage.add(group.position, [batch for batches in rows for batch in batches]) as cursor:
        _note(cursor, [(load, each) for load, each in zip(group.loads, worked, strict=True) if each is not None])
    took = thread_time() - began
    whole = sum(batch.num_rows for batches in rows for batch in batches)
    return [
        _staged(job, load, each, batches, table, took / (whole or 1)) if each else None
        for job, load, each, batches in zip(group.jobs, group.loads, worked, rows, strict=True)
    ]


def _rows(load: OpenLoad, worked: _Worked) -> list[pa.RecordBatch]:
    """Return the calls of each block of a source as they are copied, with their load."""
    rows = []
    for block, _, each in worked.blocks:
        batch = with_lines(each.typed, first_line=block.first_line)
        rows.append(batch.append_column("load_id", pa.repeat(pa.scalar(load.load_id, pa.int64()), batch.num_rows)))
    return rows


def _note(cursor: Cursor, sources: Sequence[tuple[OpenLoad, _Worked]]) -> None:
    """Write what the books keep of sources before they are published."""
    note_readings(cursor, {load.load_id: worked.form for load, worked in sources})
    accounts = []
    for load, worked in sources:
        if worked.warnings:
            note_warnings(cursor, load.load_id, worked.warnings)
        note_verdict(cursor, load.load_id, worked.verdict)
        for (block, identity, each), totals in zip(worked.blocks, worked.totals, strict=True):
            records = worked.reading.records_of(block)
            add_rejects(cursor, load.load_id, each.typed.rejects, first_line=block.first_line, records=records)
            accounts.append(
                BlockAccount(load_id=load.load_id, block=block, typed=each.typed, identity=identity, totals=totals)
            )
    add_blocks(cursor, *accounts)


def _staged(
    job: Job, load: OpenLoad, worked: _Worked, rows: Sequence[pa.RecordBatch], table: CallTable, seconds_each: float
) -> _Staged:
    starts = (start for batch in rows if batch.num_rows for start in starts_in(batch, table))
    load_s = seconds_each * sum(batch.num_rows for batch in rows)
    return _Staged(
        joint=JointLoad(load=load, terms=job.terms, content=job.content, starts=frozenset(starts)),
        costs=sum((each.costs for _, _, each in worked.blocks), Costs(load_s=load_s)),
        unknown_columns=worked.unknown_columns,
        bytes=sum(len(block.data) for block, _, _ in worked.blocks),
        lines=sum(block.lines for block, _, _ in worked.blocks),
    )


def _in_order(
    executor: Executor, work: Callable[[Item], Result], items: Iterable[Item], *, in_work: int
) -> Iterator[Result]:
    """Yield the result of *work* on each item in their order, with at most *in_work* of them waiting or in work."""
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(executor.submit(work, item))
            if len(pending) >= in_work:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
