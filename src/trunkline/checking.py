"""Check a source: what a run would do with it, exactly, without writing anything that anybody sees."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from time import thread_time
from typing import TYPE_CHECKING, Any

from trunkline.books.account import Books, Totals
from trunkline.books.writing import Attempts, Content, Costs, Terms, check_terms, loads_of_content
from trunkline.clock_proof import ClockProofs, prove_clocks
from trunkline.engine import WorkedBlock, framed_source, work_blocks
from trunkline.errors import RefusedError
from trunkline.evidence import Evidence, judge_source
from trunkline.findings import Findings
from trunkline.layout.header_match import left_out
from trunkline.loading.catalog import first_days, partitions_of
from trunkline.loading.foreseen import Foreseen, Rehearsal
from trunkline.loading.rehearsal import (
    Rehearsed,
    finish_rehearsal,
    open_rehearsal,
    rehearse_rows,
    starts_of,
)
from trunkline.loading.staging import StagedRows, check_partition_count, staged_rows
from trunkline.trailers import Counts
from trunkline.transformation import typed_totals

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.blocks import Block, TypedBlock
    from trunkline.cache.port import BlockCache
    from trunkline.layout.files import Layout
    from trunkline.loading.tables import CallTable
    from trunkline.progress import ProgressPort
    from trunkline.servers import Warn
    from trunkline.settings.resolution import MaxRejects
    from trunkline.sources.source import Source


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckJob:
    """
    A source to be checked; attributes as of `pipeline.Job`.

    Attributes:
        is_there: Whether the call table was made already.
        foreseen: What the sources before this one would have loaded.
    """

    source: Source
    content: Content
    layout: Layout
    table: CallTable
    is_there: bool
    terms: Terms
    cache: BlockCache
    progress: ProgressPort
    warn: Warn
    max_rejects: MaxRejects | None
    reload: bool
    workers: int
    foreseen: Foreseen


@dataclass(kw_only=True, slots=True)
class _Account:
    """What the blocks so far add up to."""

    read: int = 0
    typed: int = 0
    filtered: int = 0
    rejected_by: Counter[str] = field(default_factory=Counter)
    cost: dict[str, Decimal] = field(default_factory=dict)
    costs: Costs = field(default_factory=Costs)
    starts: set[date | None] = field(default_factory=set)
    proofs: ClockProofs = field(default_factory=ClockProofs)
    skip_lines: int = 0
    header: tuple[str, ...] = ()
    cr_only: bool = False
    findings: Findings = field(default_factory=Findings)
    warnings: list[str] = field(default_factory=list)
    trailer: dict[str, Any] | None = None

    def add(self, typed: TypedBlock, layout: Layout) -> None:
        self.read += typed.read
        self.typed += typed.batch.num_rows
        self.filtered += typed.filtered
        self.findings += typed.findings
        self.proofs += prove_clocks(typed.batch, layout)
        self.rejected_by.update(typed.rejects.column("code").to_pylist())
        for currency, amount in typed_totals(typed.batch, layout).cost.items():
            self.cost[currency] = self.cost.get(currency, Decimal(0)) + amount


def check_source(cursor: Cursor, job: CheckJob, attempts: Attempts) -> Books:
    """
    Return the books that a run would write now, in a transaction that the caller keeps open or rolls back.

    What would be loaded waits in it to be foreseen: see `Foreseen.settle`.

    Returns:
        ``loaded`` (no load id: nothing was written) or ``refused``, with the numbers that a run would end with.

    Raises:
        TrunklineError: Where a run would fail.
    """
    account = _Account()
    try:
        reloads = _reloads(cursor, job)
        if job.is_there:
            check_terms(cursor, job.table, job.terms, reloads)
        _stage(cursor, job, account)
        _judge(job, account)
        found = finish_rehearsal(
            cursor,
            job.foreseen.seen(job.table),
            is_there=job.is_there or job.foreseen.knows(job.table),
            on_conflict=job.layout.on_conflict,
            reloads=reloads,
            typed_cost=account.cost,
        )
        if found.rejected_conflicts:
            account.rejected_by["conflict"] += found.rejected_conflicts
        _check_rejects(job, account)
    except RefusedError as refusal:
        return _books(job, account, None, attempts, reason=refusal.reason)
    books = _books(job, account, found, attempts, reason=None)
    job.foreseen.wait(
        Rehearsal(
            table=job.table,
            is_there=job.is_there,
            terms=job.terms,
            content_hash=job.content.hash,
            on_conflict=job.layout.on_conflict,
            reloads=reloads,
            starts=account.starts,
            books=books,
        )
    )
    return books


def _reloads(cursor: Cursor, job: CheckJob) -> tuple[int, ...]:
    """Return the loads whose calls a reload would take back, those of earlier sources of this check among them."""
    if not job.reload:
        return ()
    foreseen = job.foreseen.loads_of(job.terms, job.content.hash)
    return (*loads_of_content(cursor, job.terms, job.content.hash), *foreseen)


def _judge(job: CheckJob, account: _Account) -> None:
    """Say what is doubtful about the source, as a run does; raises RefusedError where a run would."""

    def warn(message: str) -> None:
        account.warnings.append(message)
        job.warn(f"{job.source.name}: {message}")

    for doubt in job.source.doubts:
        warn(doubt)
    evidence = Evidence(
        skip_lines=account.skip_lines,
        header=account.header,
        proofs=account.proofs,
        findings=account.findings,
        cr_only=account.cr_only,
        counts=Counts(read=account.read, rejected=account.rejected_by.total(), filtered=account.filtered),
    )
    account.trailer = judge_source(evidence, job.layout, warn=warn).trailer


def _stage(cursor: Cursor, job: CheckJob, account: _Account) -> None:
    system, load_id = job.terms.system, job.foreseen.load_id
    open_rehearsal(cursor, job.layout, job.table if job.is_there else None, system=system, load_id=load_id)
    there = first_days(partitions_of(cursor, job.table)) | job.foreseen.starts_of(job.table)
    framed = framed_source(job.source, job.layout)
    reading = framed.reading
    account.skip_lines, account.header = reading.dialect.skip_lines, reading.header
    account.cr_only = framed.cr_only

    def then(block: Block, worked: WorkedBlock) -> tuple[Block, TypedBlock, StagedRows, Costs]:
        rows = staged_rows(worked.typed, job.table, first_line=block.first_line)
        return block, worked.typed, rows, worked.costs

    for block, typed, rows, costs in work_blocks(framed, job.source, job.cache, then, workers=job.workers):
        began = thread_time()
        account.starts |= starts_of(rows)
        check_partition_count(account.starts, there)
        rehearse_rows(cursor, job.table, rows)
        account.add(typed, job.layout)
        account.costs += costs + Costs(load_s=thread_time() - began)
        job.progress.advance(len(block.data), block.lines)


def _check_rejects(job: CheckJob, account: _Account) -> None:
    rejected = account.rejected_by.total()
    if job.max_rejects is not None and not job.max_rejects.allows(rejected, account.read):
        raise RefusedError(
            f"{rejected} of {account.read} records would be rejected, allowed are {job.max_rejects}",
            hint="allow more with '--max-rejects'",
        )
    if rejected and not account.typed:
        raise RefusedError(f"none of {account.read} records could be loaded", hint="is this the right layout?")


def _books(
    job: CheckJob, account: _Account, found: Rehearsed | None, attempts: Attempts, *, reason: str | None
) -> Books:
    costs = account.costs
    return Books(
        source=job.source.name,
        layout=job.layout.name,
        status="refused" if found is None else "loaded",
        read=account.read,
        loaded=found.loaded if found else 0,
        duplicates=found.duplicates if found else 0,
        duplicates_in_source=found.duplicates_in_source if found else 0,
        rejected=account.rejected_by.total(),
        rejected_by=dict(account.rejected_by),
        filtered=account.filtered,
        conflicts=found.conflicts if found else account.rejected_by["conflict"],
        totals=found.totals if found else Totals(),
        cache=costs.cache,
        seconds=costs.seconds_since(attempts.began),
        timezone=job.terms.timezone,
        currency=job.terms.currency,
        warnings=tuple(account.warnings),
        trailer=account.trailer,
        unknown_columns=left_out(account.header, job.layout),
        reason=reason,
    )
