"""Verify sources: each is read again through the same pipeline, and every record of it is proved to be in one place.

Writes nothing that anybody sees.  The records are compared by SQL in the database, so memory is bounded by blocks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from trunkline.books.writing import Content, Terms, terms_of
from trunkline.database.queries import Queries
from trunkline.database.retrying import ATTEMPTS, retrying
from trunkline.database.sessions import Sessions
from trunkline.engine import WorkedBlock, framed_source, work_blocks
from trunkline.errors import RefusedError, TrunklineError
from trunkline.loading.publishing import take_turn
from trunkline.loading.rehearsal import open_rehearsal, rehearse_rows
from trunkline.loading.staging import StagedRows, staged_rows
from trunkline.loading.tables import CallTable, find_call_table, planned_call_table
from trunkline.progress import ProgressPort, Watch
from trunkline.runner import connect_to_load, layout_in_force, worker_count
from trunkline.servers import Servers, open_servers
from trunkline.sources.source import Source, each_source
from trunkline.tracing.findings import Findings, Verdict, Verified
from trunkline.tracing.kept_rejects import KeptRejects
from trunkline.tracing.places import Placed, Sums, place_records
from trunkline.transformation import typed_totals

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.blocks import Block, TypedBlock
    from trunkline.layout.files import Layout
    from trunkline.settings.resolution import Settings

query = Queries("verifying")


def verify(
    sources: Sequence[str | os.PathLike[str]], settings: Settings, *, progress: ProgressPort | None = None
) -> list[Verified]:
    """
    Read sources again, and prove where every record of them is.

    Args:
        sources: Paths, globs, folders, ``-`` or URLs.
        settings: Those that the sources were loaded with.
        progress: What to tell how far it is.

    Returns:
        One verdict per source, in order: ``proved``, ``disagrees``, ``not_loaded`` or ``failed``.

    Raises:
        SettingsError, LayoutError, DatabaseError, EmbeddedError: As `run` does.
    """
    with open_servers(settings) as servers:
        names = [os.fspath(source) for source in sources]
        return list(verify_sources(names, settings, servers, progress=progress or Watch(visible=False)))


def verify_sources(
    sources: Sequence[str], settings: Settings, servers: Servers, *, progress: ProgressPort
) -> Iterator[Verified]:
    """
    Yield what reading each source again shows, in the order in which they are named.

    Needs the privileges of a loader: it reads the bytes of rejects, and keeps other loads from publishing while it
    compares.  Errors are part of what it says of their source.
    """
    sessions = Sessions(lambda: connect_to_load(servers))
    try:
        for name, source in each_source(sources, allow_empty=settings.allow_empty):
            if isinstance(source, TrunklineError):
                yield Verified(source=name, layout=None, status="failed", reason=str(source))
            else:
                yield _Proof(settings=settings, servers=servers, sessions=sessions, progress=progress).of(source)
    finally:
        sessions.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Brought:
    """The load that brought a source, as the books have it."""

    id: int
    layout_fingerprint: str
    read: int
    loaded: int
    duplicates: int
    duplicates_in_source: int
    rejected: int
    filtered: int
    rejected_by: dict[str, int]


@dataclass(kw_only=True, slots=True)
class _Account:
    """What the blocks so far add up to."""

    read: int = 0
    typed: int = 0
    rejected: int = 0
    filtered: int = 0
    sums: Sums = field(default_factory=Sums)

    def add(self, typed: TypedBlock, layout: Layout) -> None:
        self.read += typed.read
        self.typed += typed.batch.num_rows
        self.rejected += typed.rejects.num_rows
        self.filtered += typed.filtered
        totals = typed_totals(typed.batch, layout)
        self.sums.add("", 0, totals.duration_s, Decimal(0))
        for currency, amount in totals.cost.items():
            self.sums.add(currency, 0, Decimal(0), amount)


class _NotLoadedError(Exception):
    """The books have no load of the source on these terms; the message says what they have."""


@dataclass(kw_only=True, slots=True)
class _Proof:
    """What the proof of a source needs."""

    settings: Settings
    servers: Servers
    sessions: Sessions
    progress: ProgressPort

    def of(self, source: Source) -> Verified:
        """Return what is found of one source; an error is part of it."""
        layout: Layout | None = None
        try:
            self.progress.start(source.name, source.size)
            layout = layout_in_force(source, self.settings)
            content = Content(hash=source.content_hash(), bytes=source.size or 0)
            policy = retrying(attempts=ATTEMPTS, on_retry=self.servers.on_retry)
            return policy(self._attempt, source, layout, content)
        except TrunklineError as error:
            status: Verdict = "disagrees" if isinstance(error, RefusedError) else "failed"
            used = layout.name if layout else None
            return Verified(source=source.name, layout=used, status=status, reason=str(error))

    def _attempt(self, source: Source, layout: Layout, content: Content) -> Verified:
        with self.sessions.borrow() as connection, connection.cursor() as cursor:
            table = find_call_table(cursor, layout)
            terms = terms_of(layout, table or planned_call_table(cursor, layout), source.name)
            try:
                load = _load_of(cursor, terms, content)
                if table is None:
                    gone = f"the call table {terms.call_table} of load {load.id} is gone"
                    return Verified(source=source.name, layout=layout.name, status="not_loaded", reason=gone)
                return self._prove(cursor, source, layout, content, terms, table, load)
            except _NotLoadedError as reason:
                return Verified(source=source.name, layout=layout.name, status="not_loaded", reason=str(reason))

    def _prove(
        self,
        cursor: Cursor,
        source: Source,
        layout: Layout,
        content: Content,
        terms: Terms,
        table: CallTable,
        load: _Brought,
    ) -> Verified:
        findings, account = Findings(), _Account()
        same_layout = load.layout_fingerprint == layout.fingerprint
        rejects = KeptRejects(load_id=load.id, same_layout=same_layout, findings=findings)

        def then(block: Block, worked: WorkedBlock) -> tuple[Block, TypedBlock, StagedRows]:
            return block, worked.typed, staged_rows(worked.typed, table, first_line=block.first_line)

        open_rehearsal(cursor, layout, table, system=terms.system, load_id=load.id)
        workers = worker_count(self.settings)
        framed = framed_source(source, layout)
        for block, typed, rows in work_blocks(framed, source, self.servers.cache, then, workers=workers):
            rehearse_rows(cursor, table, rows)
            rejects.compare(cursor, block, framed.reading, typed)
            account.add(typed, layout)
            self.progress.advance(len(block.data), block.lines)
        take_turn(cursor, table, self.servers.warn)  # nobody publishes from here on
        if _load_of(cursor, terms, content).id != load.id:
            raise RefusedError("the source was loaded anew while it was verified", hint="verify it again")
        placed = place_records(
            cursor, table, load.id, typed=account.typed, on_conflict=layout.on_conflict, findings=findings
        )
        _compare_counts(findings, load, account, placed, rejects, on_conflict=layout.on_conflict)
        _compare_sums(findings, _totals(cursor, load.id), account, placed, exact=same_layout, layout=layout)
        return Verified(
            source=source.name,
            layout=layout.name,
            status="disagrees" if findings.by_kind else "proved",
            load_id=load.id,
            read=account.read,
            loaded=placed.count("loaded"),
            duplicates=placed.count("duplicate"),
            duplicates_in_source=placed.duplicates_in_source,
            rejected=rejects.by_code.total(),
            filtered=account.filtered,
            replaced=placed.count("replaced"),
            disagreements=dict(findings.by_kind),
            examples=findings.in_order(),
            notes=() if same_layout else (_CHANGED_LAYOUT.format(load.id),),
        )


_CHANGED_LAYOUT = (
    "load {} was read by another version of the layout or of the program; records are compared as read today"
)


def _load_of(cursor: Cursor, terms: Terms, content: Content) -> _Brought:
    """Return the load that brought this content on these terms, or say why there is none."""
    parameters = terms.parameters() | {"content_hash": content.hash}
    cursor.execute(query("load_of_content"), parameters)
    for row in cursor.fetchall():
        return _Brought(**dict(zip(_Brought.__slots__, row, strict=True)))
    cursor.execute(query("nearest_load"), parameters)
    names = [column.name for column in cursor.description or ()]
    nearest = next((dict(zip(names, row, strict=True)) for row in cursor.fetchall()), None)
    raise _NotLoadedError(_why_not(terms, nearest))


def _why_not(terms: Terms, nearest: Mapping[str, Any] | None) -> str:
    if nearest is None:
        return "the books have no load of this content"
    load = f"load {nearest['id']}"
    if not nearest["same_content"]:
        return f"the books have no load of this content; {load} of this name brought other bytes"
    if nearest["status"] != "loaded":
        reason = f": {nearest['reason']}" if nearest["reason"] else ""
        return f"{load} of this content is {nearest['status']}{reason}"
    names = ("call_table", "system", "timezone", "currency")
    others = [
        f"{name} {nearest[name] or 'none'}, not {getattr(terms, name) or 'none'}"
        for name in names
        if nearest[name] != getattr(terms, name)
    ]
    return f"{load} brought this content under other terms ({'; '.join(others) or 'another key'})"


def _compare_counts(
    findings: Findings, load: _Brought, account: _Account, placed: Placed, rejects: KeptRejects, *, on_conflict: str
) -> None:
    def compare(what: str, books: object, found: object) -> None:
        findings.compare("count", what, books=books, found=found)

    compare("read", load.read, account.read)
    compare("filtered", load.filtered, account.filtered)
    compare("rejected", load.rejected, rejects.by_code.total())
    compare("rejected_by", dict(sorted(load.rejected_by.items())), dict(sorted(rejects.by_code.items())))
    own = placed.count("loaded") + placed.count("values_differ") + placed.count("two_places")
    elsewhere = placed.count("duplicate") + placed.count("replaced")
    if on_conflict == "replace":  # which of those elsewhere were loaded first cannot be told once they are replaced
        compare("loaded and duplicates", load.loaded + load.duplicates, own + elsewhere)
        return
    compare("loaded", load.loaded, own)
    compare("duplicates", load.duplicates, elsewhere)
    compare("duplicates in the source", load.duplicates_in_source, placed.duplicates_in_source)


def _totals(cursor: Cursor, load_id: int) -> dict[str, Sums]:
    """Return the sums of a load in the books, by the names of their columns."""
    cursor.execute(query("totals_of_load"), {"load_id": load_id})
    names = ("typed", "loaded", "duplicates", "conflicts")
    found = {name: Sums() for name in names}
    for measure, currency, *amounts in cursor.fetchall():
        for name, amount in zip(names, amounts, strict=True):
            seconds, cost = (amount, Decimal(0)) if measure == "duration_s" else (Decimal(0), amount)
            found[name].add(currency, 0, seconds, cost)
    return found


def _compare_sums(
    findings: Findings, books: Mapping[str, Sums], account: _Account, placed: Placed, *, exact: bool, layout: Layout
) -> None:
    """Compare sums over the records, and over the rows, with the books; *exact* where today's layout read them."""

    def compare(what: str, kept: Sums, found: Sums) -> None:
        findings.compare("sum", what, books=kept.to_text(), found=found.to_text())

    if exact:
        compare("typed", books["typed"], account.sums)
        compare("conflicts", books["conflicts"], placed.sums("rejected"))
    if layout.on_conflict == "replace":
        elsewhere = placed.sums("duplicate") + placed.sums("replaced")
        compare("loaded and duplicates", books["loaded"] + books["duplicates"], placed.rows + elsewhere)
        return
    compare("loaded", books["loaded"], placed.rows)
    compare("duplicates", books["duplicates"], placed.sums("duplicate"))
