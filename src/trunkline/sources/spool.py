"""Temporary copies of what can be read only once: standard input, pipes and URLs."""

from __future__ import annotations

import shutil
import tempfile
from types import TracebackType
from typing import BinaryIO, Self

from trunkline.errors import SourceError

# Left free for everybody else on the disk, PostgreSQL perhaps: what never ends must not fill it.
_KEPT_FREE_BYTES = 256 * 1024 * 1024
_KEPT_FREE_SHARE = 20  # of a small disk, one in so many bytes

_ROOM = "set TMPDIR to a folder with room for it"


class Spool:
    """
    A temporary file without a name, so that it is gone with the process that has it open, however that ends.

    Used with ``with``, it is closed when what fills it fails; what was filled, `take` hands over.
    """

    def __init__(self, name: str) -> None:
        """
        Make an empty one.

        Args:
            name: Of the source, for messages.
        """
        self._name = name
        self._written = 0
        try:
            self._file = tempfile.TemporaryFile(prefix="trunkline-")  # noqa: SIM115 - `take` hands it over
        except OSError as error:
            raise self._no_room(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._file.close()

    @property
    def written(self) -> int:
        """How many bytes it holds."""
        return self._written

    def write(self, chunk: bytes) -> None:
        """
        Append *chunk*.

        Raises:
            SourceError: If the disk has no room for it.
        """
        room = shutil.disk_usage(tempfile.gettempdir())
        if room.free - len(chunk) < min(_KEPT_FREE_BYTES, room.total // _KEPT_FREE_SHARE):
            raise SourceError(
                f"cannot be copied to a temporary file: {self._written // 2**20} MiB of it have left too little room"
                " on the disk",
                where=self._name,
                hint=_ROOM,
            )
        try:
            self._file.write(chunk)
            self._file.flush()
        except OSError as error:
            raise self._no_room(error) from error
        self._written += len(chunk)

    def take(self) -> BinaryIO:
        """Return the file, which the caller closes."""
        return self._file

    def _no_room(self, error: OSError) -> SourceError:
        return SourceError(f"cannot be copied to a temporary file: {error.strerror}", where=self._name, hint=_ROOM)
