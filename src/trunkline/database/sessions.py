"""Connections that the threads of a run borrow and give back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from trunkline.database.errors import translated

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812


class Sessions:
    """
    Opens a connection when none is free, and keeps what is given back for the next borrower.

    As many are open as were borrowed at one time.  One that saw an error is closed: its transaction ends with it, and
    so do its advisory locks.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._free: list[Connection] = []
        self._lock = Lock()

    @contextmanager
    def borrow(self) -> Iterator[Connection]:
        """
        Lend a connection that is in no transaction; what the borrower did not commit is rolled back.

        Raises:
            DatabaseError: In place of every error of psycopg2 that is raised while the connection is borrowed.
        """
        connection = self._take()
        try:
            with translated():
                yield connection
                connection.rollback()
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._free.append(connection)

    def _take(self) -> Connection:
        with self._lock:
            if self._free:
                return self._free.pop()
        return self._connect()

    def close(self) -> None:
        """Close what was given back."""
        with self._lock:
            free, self._free = self._free, []
        for connection in free:
            connection.close()
