"""How far a run has come: records, MB/s and time left on a terminal, and silence in a pipe or a log."""

from __future__ import annotations

import sys
from threading import Lock
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress, TaskID

    from trunkline.books.account import Books


class ProgressPort(Protocol):
    """What the pipeline tells whoever watches it.  One source at a time; `advance` may come from any thread."""

    def start(self, source: str, total_bytes: int | None) -> None:
        """Begin *source*, of *total_bytes* as stored, or None where that is not known; the one before has ended."""

    def advance(self, bytes: int, records: int) -> None:  # noqa: A002 - the unit is the name
        """Count *bytes* and *records* more as done."""

    def finish(self, books: Books) -> None:
        """End the source whose books these are."""


class Watch:
    """
    Shows progress where somebody looks, and remembers the books of finished sources.

    The books are kept because a run that is interrupted still accounts for what it finished.

    Attributes:
        finished: Books of the sources that ended, in order.
    """

    def __init__(self, *, visible: bool | None = None) -> None:
        """
        Args:
            visible: Whether to draw; by default only where stderr is a terminal.
        """
        self.finished: list[Books] = []
        self._visible = sys.stderr.isatty() if visible is None else visible
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._started: tuple[str, int | None] = ("", None)
        self._records = 0
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def start(self, source: str, total_bytes: int | None) -> None:
        self._records = 0
        self._started = (source, total_bytes)
        self._clear()

    def advance(self, bytes: int, records: int) -> None:  # noqa: A002 - the unit is the name
        if self._visible:
            with self._lock:
                self._records += records
                bar, task = self._drawn()
                bar.update(task, advance=bytes, records=self._records)

    def _drawn(self) -> tuple[Progress, TaskID]:
        """Return the bar with the source in work; it is made when a source first gets on, not for unchanged ones."""
        if self._bar is None:
            self._bar = _bar()
            self._bar.start()
        if self._task is None:
            source, total_bytes = self._started
            self._task = self._bar.add_task(_plain(source), total=total_bytes, records=0)
        return self._bar, self._task

    def finish(self, books: Books) -> None:
        self.finished.append(books)
        self._clear()

    def _clear(self) -> None:
        if self._bar and self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None


def _plain(source: str) -> str:
    from rich.markup import escape

    return escape(source)


def _bar() -> Progress:
    """Return the bar: source, share, records, speed and time left, drawn on stderr and gone when done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[records]:,} records"),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
