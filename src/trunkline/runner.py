"""A run: all sources, one after the other, each tried as often as the database allows.

This module imports nothing heavy: a source that is unchanged is recognised without pandas, numpy or pyarrow.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

from trunkline.books.account import Books, Status
from trunkline.books.sequences import note_name
from trunkline.books.writing import (
    Attempts,
    Content,
    earlier_content,
    find_unchanged,
    terms_of,
    unchanged,
    unchanged_books,
)
from trunkline.database.errors import translated
from trunkline.database.retrying import ATTEMPTS, retrying
from trunkline.database.schema import share_schema
from trunkline.database.sessions import Sessions
from trunkline.errors import (
    DatabaseAwayError,
    DatabaseError,
    RefusedError,
    TrunklineError,
)
from trunkline.gathering import Gathering, are_many
from trunkline.layout.files import load_layout
from trunkline.layout.header_search import dialect_of
from trunkline.loading.leftovers import give_up_abandoned, give_up_unneeded
from trunkline.loading.tables import ensure_call_table, find_call_table, planned_call_table
from trunkline.progress import ProgressPort, Watch
from trunkline.servers import Servers, open_servers
from trunkline.settings.engines import scheduler_address
from trunkline.sources.source import LONG_BYTES, EarlierContent, Source, each_source

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

    from trunkline.books.writing import Terms
    from trunkline.database.connection import Connection
    from trunkline.engine import Engine
    from trunkline.layout.files import Layout
    from trunkline.loading.foreseen import Foreseen
    from trunkline.loading.tables import CallTable
    from trunkline.pipeline import Job
    from trunkline.settings.resolution import Settings

MOST_WORKERS = 4  # by default: more threads than this wait for each other and for PostgreSQL


def run(
    sources: Sequence[str | os.PathLike[str]], settings: Settings, *, progress: ProgressPort | None = None
) -> list[Books]:
    """
    Load sources, in parallel within each, and streaming; what the command line calls.

    Every source is tried, whatever became of the one before.

    Args:
        sources: Paths, globs, folders, ``-`` or URLs.
        settings: Where to load, how, and with which limits.
        progress: What to tell how far it is.

    Returns:
        One account per source, in the order in which they were loaded: ``loaded``, ``unchanged``, ``refused`` or
        ``failed``.

    Raises:
        SettingsError, LayoutError: If the run as a whole cannot begin.
        DatabaseError: If there is no database to load into.
        EmbeddedError: If no database is named and the embedded one cannot run here.
    """
    with open_servers(settings) as servers:
        names = [os.fspath(source) for source in sources]
        return run_sources(names, settings, servers, progress=progress or Watch(visible=False))


def check(
    sources: Sequence[str | os.PathLike[str]], settings: Settings, *, progress: ProgressPort | None = None
) -> list[Books]:
    """
    Return the accounts that `run` would end with now, and write nothing that anybody sees.

    Args:
        sources: As for `run`.
        settings: As for `run`.
        progress: As for `run`.

    Returns:
        As `run` does; a source that would be loaded has no ``load_id``.

    Raises:
        SettingsError, LayoutError, DatabaseError, EmbeddedError: As `run` does.
    """
    with open_servers(settings) as servers:
        names = [os.fspath(source) for source in sources]
        return check_sources(names, settings, servers, progress=progress or Watch(visible=False))


def run_sources(sources: Sequence[str], settings: Settings, servers: Servers, *, progress: ProgressPort) -> list[Books]:
    """Load sources on servers that are open already; see `run`."""
    sessions = Sessions(partial(connect_to_load, servers))
    try:
        each = _Run(
            settings=settings, servers=servers, sessions=sessions, progress=progress, layouts=_Layouts(settings)
        )
        try:
            each.clear_up()
            return list(each.load_all(sources))
        finally:
            each.close()
    finally:
        sessions.close()


def check_sources(
    sources: Sequence[str], settings: Settings, servers: Servers, *, progress: ProgressPort
) -> list[Books]:
    """Return the accounts that `run_sources` would end with now; writes nothing that anybody sees."""
    each = _Check(settings=settings, servers=servers, progress=progress)
    try:
        return list(each.load_all(sources))
    finally:
        each.close()


def connect_to_load(servers: Servers) -> Connection:
    """Open a session that keeps migrations away as long as it lives."""
    connection = servers.connect()
    try:
        share_schema(connection, session=True)
    except BaseException:
        connection.close()
        raise
    return connection


class _Layouts:
    """
    The layouts of many sources: found out once for those that begin with the same header.

    A header that fits weighs more than the values behind it (`detect.recognition`), and to look at those of 10,000
    records takes as long as to parse them all.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[bytes, Layout] = {}

    def of(self, source: Source) -> Layout:
        sample = b"" if self._settings.layout else source.sample()
        header = sample.partition(b"\n")[0]
        if header in self._known:
            return self._known[header]
        layout = layout_in_force(source, self._settings)
        if not sample or (layout.dialect.header is not False and not dialect_of(sample, layout).skip_lines):
            self._known[header] = layout
        return layout


@dataclass(kw_only=True, slots=True)
class _Each(ABC):
    """What the sources of a run or a check share."""

    settings: Settings
    servers: Servers
    progress: ProgressPort
    is_away: bool = False  # PostgreSQL: one source waited for it in vain, the next ones ask only once
    engine: Engine | None = None  # opened for the first source that there is work on

    def close(self) -> None:
        """Let go of the engine."""
        if self.engine is not None:
            self.engine.close()

    def load_all(self, sources: Sequence[str]) -> Iterator[Books]:
        for books in self._each(sources):
            self.progress.finish(books)
            yield books

    def _each(self, sources: Sequence[str]) -> Iterator[Books]:
        for name, source in each_source(sources, allow_empty=self.settings.allow_empty):
            yield self._account(name, source)

    def _account(self, name: str, source: Source | TrunklineError) -> Books:
        return _ended(name, source) if isinstance(source, TrunklineError) else self._load(source, Attempts())

    def _load(self, source: Source, attempts: Attempts) -> Books:
        """Return the account of one source; its errors are part of it."""
        self.progress.start(source.name, source.size)
        try:
            return self._load_opened(source, attempts)
        except TrunklineError as error:
            return _ended(source.name, error)

    def _load_opened(self, source: Source, attempts: Attempts) -> Books:
        layout, content_hash = self._recognise(source)
        content = Content(hash=content_hash, bytes=source.size or 0)
        policy = retrying(attempts=1 if self.is_away else ATTEMPTS, on_retry=self.servers.on_retry)
        try:
            books = policy(self._attempt, source, layout, content, attempts)
        except DatabaseAwayError:
            self.is_away = True
            raise
        self.is_away = False
        return books

    def _recognise(self, source: Source) -> tuple[Layout, str]:
        """Return how a source is read, and its content hash; of a long one a thread takes it meanwhile."""
        if source.size < LONG_BYTES:
            return layout_in_force(source, self.settings), source.content_hash()
        earlier = self._earlier_of(source)
        from concurrent.futures import ThreadPoolExecutor  # imports logging

        given_up = Event()
        with ThreadPoolExecutor(1, thread_name_prefix="trunkline-hash") as executor:
            content_hash = executor.submit(source.content_hash, given_up, earlier)
            try:
                return layout_in_force(source, self.settings), content_hash.result()
            finally:
                given_up.set()  # neither an error nor an interrupt waits for the rest of the hash

    def _earlier_of(self, source: Source) -> EarlierContent | None:
        """Return what a source may have grown from; None where nobody makes use of it."""
        return None

    @abstractmethod
    def _attempt(self, source: Source, layout: Layout, content: Content, attempts: Attempts) -> Books:
        """Try once to account for a source; whatever was done before in *attempts*."""


@dataclass(kw_only=True, slots=True)
class _Run(_Each):
    """A run, whose workers share sessions."""

    sessions: Sessions
    layouts: _Layouts
    tables: dict[tuple[str, str | None, str], CallTable] = field(default_factory=dict)  # of layouts of small sources

    def clear_up(self) -> None:
        """Give up what killed runs left long ago."""
        with suppress(DatabaseError), self.sessions.borrow() as connection:  # the sources meet it, too, and tell it
            give_up_abandoned(connection)

    def _each(self, sources: Sequence[str]) -> Iterator[Books]:
        if self.settings.reload or not are_many(sources):
            yield from _Each._each(self, sources)
            return
        small = Gathering(self._prepare, self._load, self.progress)
        for name, source in each_source(sources, allow_empty=self.settings.allow_empty):
            if isinstance(source, Source) and small.takes(source):
                if small.is_full:
                    yield from small.load()
            else:
                yield from small.load()
                yield self._account(name, source)
        yield from small.load()

    def _earlier_of(self, source: Source) -> EarlierContent | None:
        """Return what a source was when it was last loaded; None also where PostgreSQL does not say."""
        if self.is_away or self.settings.reload:
            return None
        with suppress(DatabaseError), self.sessions.borrow() as connection:  # who loads it tells what is wrong
            with connection.cursor() as cursor:
                earlier = earlier_content(cursor, source.name)
            connection.commit()
            return earlier
        return None

    def _attempt(self, source: Source, layout: Layout, content: Content, attempts: Attempts) -> Books:
        found = self._unchanged_or_job(source, layout, self._table_of(layout), content, attempts)
        if isinstance(found, Books):
            return found
        from trunkline.pipeline import load_source  # pandas, numpy and pyarrow: only where there is work

        return load_source(found, attempts)

    def _prepare(self, source: Source, content_hash: str, attempts: Attempts) -> Books | Job:
        """Return the account of a small source that is unchanged, else what is to be loaded."""
        content, layout = Content(hash=content_hash, bytes=source.size or 0), self.layouts.of(source)
        key = (layout.table, layout.view, layout.fingerprint)
        if key not in self.tables:
            self.tables[key] = self._table_of(layout)
        # A table that is gone since is missed when it is locked; each source is loaded for itself then.
        return self._unchanged_or_job(source, layout, self.tables[key], content, attempts)

    def _table_of(self, layout: Layout) -> CallTable:
        """Return the call table of a layout, made if it is not there."""
        with self.sessions.borrow() as connection, connection.cursor() as cursor:
            cursor.execute("set local lock_timeout = '10s'")  # another attempt follows
            table = ensure_call_table(cursor, layout)
            connection.commit()
        return table

    def _unchanged_or_job(
        self, source: Source, layout: Layout, table: CallTable, content: Content, attempts: Attempts
    ) -> Books | Job:
        with self.sessions.borrow() as connection, connection.cursor() as cursor:
            terms = terms_of(layout, table, source.name)
            if not attempts.load_ids and not self.settings.reload:
                load_id = find_unchanged(cursor, terms, content.hash)
                if load_id is not None:
                    note_name(cursor, load_id, layout.sequence, source.name)
                    connection.commit()
                    give_up_unneeded(connection, terms, content.hash)
                    return unchanged_books(connection, load_id, source.name, attempts)
        from trunkline.pipeline import Job  # as heavy

        if self.engine is None:
            self.engine = open_engine(self.settings, self.servers)
        return Job(
            source=source,
            content=content,
            layout=layout,
            table=table,
            terms=terms,
            sessions=self.sessions,
            engine=self.engine,
            progress=self.progress,
            warn=self.servers.warn,
            max_rejects=self.settings.max_rejects,
            reload=self.settings.reload,
            workers=worker_count(self.settings),
        )


@dataclass(kw_only=True, slots=True)
class _Check(_Each):
    """
    A run that ends before it begins: sources are accounted for in temporary tables of one session.

    Attributes:
        foreseen: What earlier sources would have loaded.
    """

    session: Connection | None = None
    foreseen: Foreseen | None = None

    def _attempt(self, source: Source, layout: Layout, content: Content, attempts: Attempts) -> Books:
        with self._same_session() as connection, connection.cursor() as cursor:
            if self.foreseen and self.foreseen.settle(cursor):
                connection.commit()
            table = find_call_table(cursor, layout)
            planned = table or planned_call_table(cursor, layout)
            terms = terms_of(layout, planned, source.name)
            if not self.settings.reload:
                known = self._unchanged(connection, cursor, source, planned, terms, content, attempts)
                if known is not None:
                    return known
            books = self._check_changed(cursor, source, layout, content, attempts, planned, terms, table is not None)
            if books.status != "loaded":
                connection.rollback()
            return books

    def _unchanged(
        self,
        connection: Connection,
        cursor: Cursor,
        source: Source,
        table: CallTable,
        terms: Terms,
        content: Content,
        attempts: Attempts,
    ) -> Books | None:
        """Return the books of a source that is unchanged, since a load or since an earlier source of this check."""
        load_id = find_unchanged(cursor, terms, content.hash)
        foreseen = self.foreseen
        if load_id is not None and not (foreseen and foreseen.touches(cursor, table, load_id)):
            return unchanged_books(connection, load_id, source.name, attempts)
        books = foreseen.books_of(terms, content.hash) if foreseen else None
        return unchanged(books, source.name, attempts) if books else None

    @contextmanager
    def _same_session(self) -> Iterator[Connection]:
        """Give the session of all sources; what is not committed stays open for the next one, unless it fails."""
        if self.session is None or self.session.closed:
            if self.foreseen:
                self.servers.warn("the connection was lost: the sources before are not part of what is compared with")
            self.session, self.foreseen = connect_to_load(self.servers), None
        try:
            with translated():
                yield self.session
        except BaseException:
            with suppress(Exception):
                self.session.rollback()
            raise

    def close(self) -> None:
        """Close the session: nothing is left of it."""
        if self.session is not None:
            self.session.close()

    def _check_changed(
        self,
        cursor: Cursor,
        source: Source,
        layout: Layout,
        content: Content,
        attempts: Attempts,
        table: CallTable,
        terms: Terms,
        is_there: bool,
    ) -> Books:
        from trunkline.checking import CheckJob, check_source  # as in a run: only where there is work
        from trunkline.loading.foreseen import Foreseen

        self.foreseen = self.foreseen or Foreseen()
        job = CheckJob(
            source=source,
            content=content,
            layout=layout,
            table=table,
            is_there=is_there,
            terms=terms,
            cache=self.servers.cache,
            progress=self.progress,
            warn=self.servers.warn,
            max_rejects=self.settings.max_rejects,
            reload=self.settings.reload,
            workers=worker_count(self.settings),
            foreseen=self.foreseen,
        )
        return check_source(cursor, job, attempts)


def open_engine(settings: Settings, servers: Servers) -> Engine:
    """
    Return what blocks are worked on by.

    Raises:
        EngineError: If the one that was asked for is not installed, or nobody answers.
    """
    workers = worker_count(settings)
    if settings.engine == "threads":
        from trunkline.engine import Threads

        return Threads(cache=servers.cache, at_once=workers)
    from trunkline.dask_engine import CacheAccess, DaskEngine

    secret = settings.cache_secret
    access = CacheAccess(
        url=servers.redis.url,
        secret=secret.get_secret_value() if secret else None,
        ttl_s=settings.cache_ttl_s,
    )
    return DaskEngine(scheduler_address(settings.engine), workers=workers, access=access, cache=servers.cache)


def layout_in_force(source: Source, settings: Settings) -> Layout:
    """Return the layout that is named, else the one that is recognised, with what the settings say instead."""
    layout = load_layout(settings.layout) if settings.layout else _recognised(source, settings.encoding)
    layout = layout.with_overrides(
        timezone=settings.timezone,
        currency=settings.currency,
        system=settings.system,
        encoding=settings.encoding,
        wrong_zone=settings.wrong_zone,
    )
    layout.check_complete()
    return layout


def worker_count(settings: Settings) -> int:
    """Return how many threads work on a source, each with a connection of its own."""
    # One more than there are cores: while one waits for PostgreSQL, which works on the same machine or on another,
    # there are still enough.  On two cores three take 3 to 17 % less time than two.
    return settings.workers or min(MOST_WORKERS, 1 + (os.cpu_count() or 1))


def _recognised(source: Source, encoding: str | None) -> Layout:
    from trunkline.detect.recognition import layout_of  # numpy, for the header: only where no layout is named

    return layout_of(source.sample(), encoding)


def _ended(name: str, error: TrunklineError) -> Books:
    """Return the account of a source that ended before its books were opened, or whose books could not be kept."""
    status: Status = "refused" if isinstance(error, RefusedError) else "failed"
    return Books(source=name, layout=None, status=status, reason=str(error))
