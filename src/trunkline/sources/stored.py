"""The bytes of one file as they are stored, read by offset, and whether they are still the same."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import BinaryIO, Self

from trunkline.errors import SourceChangedError, SourceError

_CHUNK_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class _State:
    """What tells whether a file is still the same: where it is on disk, how long, and when last written."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, found: os.stat_result) -> _State:
        return cls(device=found.st_dev, inode=found.st_ino, size=found.st_size, mtime_ns=found.st_mtime_ns)

    def follows(self, earlier: _State | None, *, may_grow: bool) -> bool:
        """Whether a file that was in the *earlier* state has still the same bytes there, as far as can be told."""
        if earlier is None or self == earlier:
            return self == earlier
        same_file = (self.device, self.inode) == (earlier.device, earlier.inode)
        return may_grow and same_file and self.size > earlier.size


class Stored:
    """
    An open file that may be read from any thread, and any number of times; close it with ``with``.

    Attributes:
        name: Without secrets, printable: fit for books, messages and logs.
        size: In bytes, when it was opened; no byte behind it is ever read.
        location: Where other programs find the same bytes, credentials included; None where this one alone has them.
    """

    def __init__(self, name: str, file: BinaryIO, *, path: Path | None = None, location: str | None = None) -> None:
        """
        Take over an open file.

        Args:
            name: As for the attribute.
            file: Seekable, with nobody else reading from it.
            path: Where it is, if others can change it there.
            location: As for the attribute; by default *path*.
        """
        self.name = name
        self._file = file
        self._path = path
        self.location = location or (str(path.resolve()) if path else None)
        self._lock = Lock()
        self._opened = _State.of(os.fstat(file.fileno())) if path else None
        self.size = self._opened.size if self._opened else file.seek(0, io.SEEK_END)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was spooled is deleted."""
        self._file.close()

    def kept(self) -> Self:
        """Return the same opened file, to be closed for itself; only of one at a path."""
        copy = type(self)(self.name, os.fdopen(os.dup(self._file.fileno()), "rb"), path=self._path)
        copy._opened = self._opened
        return copy

    @property
    def can_change(self) -> bool:
        """Whether others may write to it; nobody knows of a temporary copy."""
        return self._path is not None

    def read_at(self, position: int, length: int) -> bytes:
        """
        Return *length* bytes from *position*, or all to the end if there are fewer.

        Raises:
            SourceError: If they cannot be read.
            SourceChangedError: If the file became shorter meanwhile.
        """
        length = min(length, self.size - position)
        if length <= 0:
            return b""
        with self._lock:
            try:
                self._file.seek(position)
                found = self._file.read(length)
            except OSError as error:
                raise SourceError(f"cannot be read: {error.strerror}", where=self.name) from error
        if len(found) < length:
            raise self.changed("became shorter")
        return found

    def chunks(self, first: int = 0) -> Iterator[bytes]:
        """Yield all bytes from *first* on, `size` of them in all; raises as `read_at` does."""
        for position in range(first, self.size, _CHUNK_BYTES):
            yield self.read_at(position, _CHUNK_BYTES)

    def check_unchanged(self, *, may_grow: bool) -> None:
        """
        Raise unless the file is still the one that was opened, as far as its size, time and place tell.

        Args:
            may_grow: Whether it may have become longer: what was read is what was there when it was opened.

        Raises:
            SourceChangedError: If it was written to, replaced or deleted since.
        """
        if self._path is None:
            return
        try:
            there = _State.of(self._path.stat())
        except OSError:
            raise self.changed("is gone") from None
        if not there.follows(self._opened, may_grow=may_grow):
            raise self.changed("changed")
        if not _State.of(os.fstat(self._file.fileno())).follows(self._opened, may_grow=may_grow):
            raise self.changed("changed")

    def changed(self, how: str) -> SourceChangedError:
        """Return the error that says *how* the file is not what it was."""
        return SourceChangedError(
            f"{how} while it was read", where=self.name, hint="load it again when nobody writes to it"
        )
