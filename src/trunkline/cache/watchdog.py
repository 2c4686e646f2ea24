"""One thread that ends what takes too long, for all threads that ask.

A timer of its own for each command is a thread for each: under load its start waits for the interpreter's lock, for
longer than the command takes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Watchdog:
    """Calls what was given to it when a deadline passes.  Its thread ends when there is nothing to watch."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[object, tuple[float, Callable[[], None]]] = {}
        self._wakes_at: float | None = None  # None: there is no thread

    @contextmanager
    def watch(self, seconds: float, give_up: Callable[[], None]) -> Iterator[None]:
        """Call *give_up*, once and on another thread, if what is done within takes longer than *seconds*."""
        token = object()
        deadline = time.monotonic() + seconds
        with self._changed:
            self._due[token] = (deadline, give_up)
            if self._wakes_at is None:
                self._wakes_at = deadline
                threading.Thread(target=self._run, name="trunkline-watchdog", daemon=True).start()
            elif deadline < self._wakes_at:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._due.pop(token, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._due:
                    self._wakes_at = None
                    return
                self._wakes_at = min(deadline for deadline, _ in self._due.values())
                self._changed.wait(self._wakes_at - time.monotonic())
                late = [token for token, (deadline, _) in self._due.items() if deadline <= time.monotonic()]
                calls = [self._due.pop(token)[1] for token in late]
                # Called under the lock, so that nobody who was in time is given up after leaving.
                for give_up in calls:
                    give_up()
