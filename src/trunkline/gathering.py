"""Small sources of a run, gathered until there are enough of them to be loaded together.  Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from trunkline.books.account import Books
from trunkline.books.writing import Attempts
from trunkline.errors import SourceError, TrunklineError
from trunkline.sources.expansion import expand
from trunkline.sources.naming import is_url
from trunkline.sources.source import Source

if TYPE_CHECKING:
    from concurrent.futures import Future

    from trunkline.pipeline import Job
    from trunkline.progress import ProgressPort

MANY = 8  # sources of a run: what fewer cost one by one is not worth another way
SMALL_BYTES = 4 << 20  # as stored: a block or two
MOST_SOURCES = 200  # open at once; macOS allows a process 256 files
MOST_BYTES = 128 << 20  # published in one transaction: what is lost where it fails

Prepare = Callable[[Source, str, Attempts], "Books | Job"]
"""From a source and its content hash to its books, where it is unchanged, else to what is to be loaded."""

LoadAlone = Callable[[Source, Attempts], Books]


def are_many(names: Sequence[str]) -> bool:
    """Tell whether *names* stand for many files of this machine."""
    count = 0
    for name in names:
        if not is_url(name):
            with suppress(SourceError):  # whoever opens it says what is wrong
                count += len(expand([name]))
    return count >= MANY


class Gathering:
    """
    Small sources that wait; in the end each has its books, in their order.

    Where one time they could not be loaded together, since calls of theirs are there already or another run was in the
    way, it is not tried again: it would cost twice.
    """

    def __init__(self, prepare: Prepare, load_alone: LoadAlone, progress: ProgressPort) -> None:
        self._prepare = prepare
        self._load_alone = load_alone
        self._progress = progress
        self._waiting: list[Source] = []
        self._bytes = 0
        self._in_vain = False

    def takes(self, source: Source) -> bool:
        """Keep *source* open if it is one of them; it may be closed then."""
        if self._in_vain or source.size > SMALL_BYTES or (kept := source.kept()) is None:
            return False
        self._waiting.append(kept)
        self._bytes += kept.size
        return True

    @property
    def is_full(self) -> bool:
        """Whether those that wait should be loaded before there are more."""
        return len(self._waiting) >= MOST_SOURCES or self._bytes >= MOST_BYTES

    def load(self) -> Iterator[Books]:
        """Load those that wait, and yield their books."""
        sources, self._waiting, self._bytes = self._waiting, [], 0
        with ExitStack() as stack:
            for source in sources:
                stack.enter_context(source)
            if sources:
                self._progress.start(f"{len(sources)} small sources", sum(source.size for source in sources))
            yield from self._load(sources)

    def _load(self, sources: Sequence[Source]) -> Iterator[Books]:
        group: list[tuple[Job, Attempts]] = []
        for source, content_hash in _hashed_ahead(sources):
            attempts = Attempts()
            found = self._prepared(source, content_hash, attempts)
            if group and not _belongs(found, group):
                yield from self._load_group(group)
                group = []
                found = self._prepared(source, content_hash, attempts)  # it may be unchanged now
            if found is None or isinstance(found, Books):
                yield found or self._load_alone(source, attempts)
            else:
                group.append((found, attempts))
        yield from self._load_group(group)

    def _prepared(self, source: Source, content_hash: Future[str], attempts: Attempts) -> Books | Job | None:
        try:
            found = self._prepare(source, content_hash.result(), attempts)
            if isinstance(found, Books):
                source.check_unchanged()  # others may have been loaded since its hash was taken
        except TrunklineError:  # loaded alone, it says what is wrong, or is tried again
            return None
        return found

    def _load_group(self, group: Sequence[tuple[Job, Attempts]]) -> Iterator[Books]:
        together = self._load_together(group)
        for (job, attempts), books in zip(group, together, strict=True):
            yield books or self._load_alone(job.source, attempts)

    def _load_together(self, group: Sequence[tuple[Job, Attempts]]) -> list[Books | None]:
        from trunkline.together import load_together  # as the pipeline: only where there is work

        if not group or self._in_vain or not _can_be_joined(group[0][0]):
            return [None] * len(group)
        found = load_together([job for job, _ in group], [attempts for _, attempts in group])
        self._in_vain = not any(found)
        return found


def _hashed_ahead(sources: Sequence[Source]) -> Iterator[tuple[Source, Future[str]]]:
    """Yield each source with what its content hash will be: a thread takes them while PostgreSQL is asked."""
    from concurrent.futures import ThreadPoolExecutor  # imports logging

    with ThreadPoolExecutor(1, thread_name_prefix="trunkline-hash") as executor:
        try:
            yield from [(source, executor.submit(source.content_hash)) for source in sources]
        finally:
            executor.shutdown(cancel_futures=True)  # an interrupt waits for one at most


def _belongs(found: Books | Job | None, group: Sequence[tuple[Job, Attempts]]) -> bool:
    """Tell whether something is to be loaded that is on the terms of a group, and of another content."""
    if found is None or isinstance(found, Books):
        return False
    same_terms = replace(found.terms, source="") == replace(group[0][0].terms, source="")
    return same_terms and all(found.content.hash != other.content.hash for other, _ in group)


def _can_be_joined(job: Job) -> bool:
    return job.layout.on_conflict != "replace" and not job.layout.growing and not job.reload
