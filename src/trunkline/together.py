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
from itertools import islice
from time import thread_time
from typing import TYPE_CHECKING, TypeVar

from trunkline.books.reading import show_load
from trunkline.books.writing import Costs, add_costs, begin_load, note_reading, note_verdict, note_warnings
from trunkline.clock_proof import ClockProofs, prove_clocks
from trunkline.engine import Reading, WorkedBlock, framed_source, identity_of
from trunkline.errors import TrunklineError
from trunkline.evidence import Evidence, Verdict, judge_source
from trunkline.findings import Findings
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

SOURCES_WAITING = 10  # beside those in work: about what is parsed while `ROWS_AT_ONCE` calls of small files are copied
MOST_BLOCKS = 2  # of a small source; what decompresses to more is not small


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
        worked = _in_order(executor, _work, jobs, in_work=first.engine.at_once + SOURCES_WAITING)
        for job, attempt, each in zip(jobs, attempts, worked, strict=True):
            loads.append(None if each is None else _stage(cursor, stage, job, attempt, each))
    if stage.loads:
        stage.flush()
        stage.seal()
        take_turn(cursor, first.table, first.warn)
        stage.publish(sequence=first.layout.sequence)
    return [
        None if load is None else _books(cursor, load, attempt) for load, attempt in zip(loads, attempts, strict=True)
    ]


def _work(job: Job) -> _Worked | None:
    """Return the calls of a source, None where it is not small, or would be refused."""
    try:
        worked = _worked(job)
    except TrunklineError:
        return None
    counts = _counted(worked.blocks)
    typed = counts.read - counts.rejected - counts.filtered
    is_refused = job.max_rejects is not None and not job.max_rejects.allows(counts.rejected, counts.read)
    if len(worked.blocks) > MOST_BLOCKS or is_refused or (counts.rejected and not typed):
        return None
    return worked


def _counted(blocks: Sequence[tuple[Block, str, WorkedBlock]]) -> Counts:
    typed = [worked.typed for _, _, worked in blocks]
    return Counts(
        read=sum(block.read for block in typed),
        rejected=sum(block.rejects.num_rows for block in typed),
        filtered=sum(block.filtered for block in typed),
    )


def _worked(job: Job) -> _Worked:
    framed = framed_source(job.source, job.layout)
    reading = framed.reading
    blocks, proofs, findings = [], ClockProofs(), Findings()
    for block in islice(framed.blocks, MOST_BLOCKS + 1):
        identity = identity_of(block, reading)
        worked = job.engine.work(job.source, block, identity, reading)
        findings += worked.typed.findings
        proofs += prove_clocks(worked.typed.batch, job.layout)
        blocks.append((block, identity, worked))
    job.source.check_unchanged()
    warnings = list(job.source.doubts)
    evidence = Evidence(
        skip_lines=reading.dialect.skip_lines,
        header=reading.header,
        proofs=proofs,
        findings=findings,
        cr_only=framed.cr_only,
        counts=_counted(blocks),
    )
    verdict = judge_source(evidence, job.layout, warn=warnings.append)
    return _Worked(
        form=framed.form,
        reading=reading,
        blocks=tuple(blocks),
        totals=tuple(typed_totals(worked.typed.batch, job.layout) for _, _, worked in blocks),
        warnings=tuple(warnings),
        verdict=verdict,
        unknown_columns=left_out(reading.header, job.layout),
    )


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
