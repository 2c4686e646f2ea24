"""Many small sources at once: worked on side by side, then staged and published together, in one transaction.

A load of its own takes a dozen commits and some tables that are made and dropped.  Each source still has its own
books, and is there as a whole or not at all.  What cannot be loaded this way, since it is to be refused, or has calls
that are there already, is left to `pipeline`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, islice
from time import thread_time
from typing import TYPE_CHECKING, TypeVar

from trunkline.books.reading import show_load
from trunkline.books.writing import Costs, add_costs, begin_load, note_reading, note_verdict, note_warnings
from trunkline.clock_proof import ClockProofs, prove_clocks
from trunkline.engine import FramedSource, Reading, Task, WorkedBlock, framed_source, identity_of
from trunkline.errors import TrunklineError
from trunkline.evidence import Evidence, Verdict, judge_source
from trunkline.findings import Findings
from trunkline.framing.borders import BLOCK_SIZES
from trunkline.framing.cutting import SourceForm
from trunkline.layout.header_match import left_out
from trunkline.loading.joint import JointLoad, JointStage
from trunkline.loading.publishing import take_turn
from trunkline.loading.staging import add_block, add_rejects, with_lines
from trunkline.trailers import Counts
from trunkline.transformation import typed_totals

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.blocks import Block, TypedTotals
    from trunkline.books.account import Books
    from trunkline.books.writing import Attempts
    from trunkline.pipeline import Job

Item = TypeVar("Item")
Result = TypeVar("Result")

SOURCES_AT_ONCE = 16  # as one; more cost no less each, and leave fewer threads something to do
GROUPS_WAITING = 2  # beside those in work: about what is parsed while `ROWS_AT_ONCE` calls of small files are copied
_PACKED = 8  # bytes of call logs in one of a compressed source, about
MOST_BLOCKS = 2  # of a small source; what decompresses to more is not small


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


def load_together(jobs: Sequence[Job], attempts: Sequence[Attempts]) -> list[Books | None]:
    """
    Load sources on the same terms, of different contents that are not loaded yet.

    Args:
        jobs: In the order in which they would be loaded one by one.
        attempts: One for each; learn what it cost, and which load it is, in case the reply to COMMIT is lost.

    Returns:
        The books of each, None for those that have to be loaded for themselves; in their place, nothing was done.
    """
    first = jobs[0]
    try:
        with first.sessions.borrow() as connection:
            with connection.cursor() as cursor:
                cursor.execute("set transaction isolation level read committed")
                books = _load(cursor, jobs, attempts)
            connection.commit()
    except TrunklineError:  # whichever source it is about: loaded for itself, it says so
        return [None] * len(jobs)
    for job, loaded in zip(jobs, books, strict=True):
        for warning in loaded.warnings if loaded else ():
            job.warn(f"{job.source.name}: {warning}")
    return books


def _load(cursor: Cursor, jobs: Sequence[Job], attempts: Sequence[Attempts]) -> list[Books | None]:
    first = jobs[0]
    stage = JointStage(cursor, first.table, system=first.terms.system)
    loads: list[JointLoad | None] = []
    with ThreadPoolExecutor(first.engine.at_once, thread_name_prefix="trunkline") as executor:
        groups = _in_order(executor, _work, _in_groups(jobs), in_work=first.engine.at_once + GROUPS_WAITING)
        for job, attempt, each in zip(jobs, attempts, chain.from_iterable(groups), strict=True):
            loads.append(None if each is None else _stage(cursor, stage, job, attempt, each))
    if stage.loads:
        stage.flush()
        stage.seal()
        take_turn(cursor, first.table, first.warn)
        stage.publish(sequence=first.layout.sequence)
    return [
        None if load is None else _books(cursor, load, attempt) for load, attempt in zip(loads, attempts, strict=True)
    ]


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
    reading = framed.reading
    tasks = (
        Task(source=job.source, block=block, identity=identity_of(block, reading), reading=reading) for block in blocks
    )
    return _Cut(job=job, framed=framed, tasks=tuple(tasks))


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


def _in_groups(jobs: Iterable[Job]) -> Iterator[list[Job]]:
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


def _stage(cursor: Cursor, stage: JointStage, job: Job, attempts: Attempts, worked: _Worked) -> JointLoad:
    """Open the books of a source, and stage its calls."""
    load = begin_load(cursor, job.terms, content=job.content, resume_key=None)
    attempts.load_ids.append(load.load_id)
    attempts.unknown_columns = worked.unknown_columns
    note_reading(cursor, load.load_id, worked.form)
    if worked.warnings:
        note_warnings(cursor, load.load_id, worked.warnings)
    note_verdict(cursor, load.load_id, worked.verdict)
    joint = JointLoad(load=load, terms=job.terms, content=job.content)
    stage.open(joint)
    began = thread_time()
    for (block, identity, each), totals in zip(worked.blocks, worked.totals, strict=True):
        records = worked.reading.records_of(block)
        add_rejects(cursor, load.load_id, each.typed.rejects, first_line=block.first_line, records=records)
        add_block(cursor, load.load_id, block, each.typed, identity=identity, totals=totals)
        stage.add(with_lines(each.typed, first_line=block.first_line))
        job.progress.advance(len(block.data), block.lines)
        attempts.costs += each.costs
    attempts.costs += Costs(load_s=thread_time() - began)
    return joint


def _books(cursor: Cursor, load: JointLoad, attempts: Attempts) -> Books:
    add_costs(cursor, load.load.load_id, attempts.costs.cache, attempts.costs.seconds_since(attempts.began))
    books = show_load(cursor.connection, load.load.load_id).books
    return replace(books, unknown_columns=attempts.unknown_columns)


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
