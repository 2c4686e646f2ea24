"""Zip archives: which members are sources, and their bytes, read in place.

Nothing is unpacked to disk, so a member's name is only a name: no path leaves the archive.
"""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trunkline.errors import SourceError, TrunklineError
from trunkline.sources.compression import check_ratio
from trunkline.sources.naming import printable

_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # of a first member, or of an archive without one
_CHUNK_BYTES = 1024 * 1024  # of output at a time: a bomb fills no memory
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Of others the zipfile module takes so much input at a time, and hands out whatever comes of it: up to 130 MB.
_UNBOUNDED_BYTES = 4096
# The archive's directory is read at once: with more than some 100,000 members it is no archive of call logs.
_MOST_AT_ONCE = 8 * 1024 * 1024

ReadAt = Callable[[int, int], bytes]
"""Returns so many bytes from that offset, fewer at the end."""


def is_zip(head: bytes) -> bool:
    """Whether a source begins as a zip archive does."""
    return head.startswith(_MAGIC)


class ZipArchive:
    """The members of an archive that are files of the user: no folders, links, hidden files or metadata of macOS."""

    def __init__(self, read_at: ReadAt, size: int) -> None:
        """
        Read the archive's directory.

        Args:
            read_at: Reads from the archive.
            size: Of the archive, in bytes.

        Raises:
            SourceError: If it is damaged, has no file, or has two of one name.
        """
        with _told():
            self._archive = zipfile.ZipFile(io.BufferedReader(_Stored(read_at, size)))
            found = [one for one in self._archive.infolist() if _is_source(one)]
        self._members = {printable(one.filename): one for one in found}
        if not found:
            raise SourceError("found no file in the zip archive, expected a CSV file")
        if len(self._members) < len(found):
            raise SourceError(
                "found two members of one name in the zip archive, expected one", hint="unpack it and name the files"
            )

    @property
    def members(self) -> list[str]:
        """Their names, sorted, what cannot be printed escaped."""
        return sorted(self._members)

    def check_member(self, member: str) -> None:
        """Raise SourceError if there is none of that name."""
        if member not in self._members:
            raise SourceError(
                f"found no member {printable(member)} in the zip archive, expected one of its {len(self._members)}"
            )

    def read(self, member: str) -> Iterator[bytes]:
        """
        Yield the bytes of a member.

        Raises:
            SourceError: If there is none of that name, or it is damaged, which may show only at its end.
        """
        self.check_member(member)
        found = self._members[member]
        at_once = _CHUNK_BYTES if found.compress_type in _BOUNDED else _UNBOUNDED_BYTES
        plain = 0
        with _told(), self._archive.open(found) as file:
            while chunk := file.read(at_once):
                plain += len(chunk)
                check_ratio(found.compress_size, plain)
                yield chunk


class _Stored(io.RawIOBase):
    """The archive as the zipfile module wants it: a seekable file with a place of its own."""

    def __init__(self, read_at: ReadAt, size: int) -> None:
        self._read_at = read_at
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError("before the first byte")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if len(buffer) > _MOST_AT_ONCE:
            raise SourceError(
                "found a zip archive with too many members, expected some 100,000 at most",
                hint="unpack it first: unzip",
            )
        found = self._read_at(self._at, max(0, min(len(buffer), self._size - self._at)))
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


def _is_source(member: zipfile.ZipInfo) -> bool:
    folder, _, name = member.filename.rpartition("/")
    is_link = stat.S_ISLNK(member.external_attr >> 16)  # what it holds is a path, which leads nowhere here
    return not member.is_dir() and not is_link and not name.startswith(".") and not folder.startswith("__MACOSX")


@contextmanager
def _told() -> Iterator[None]:
    """Translate what the zipfile module raises."""
    try:
        yield
    except NotImplementedError as error:
        raise SourceError(
            "found a compression in the zip archive that cannot be read", hint="unpack it first: unzip"
        ) from error
    except RuntimeError as error:  # of zipfile: only where a password is needed
        raise SourceError(
            "found an encrypted zip archive, expected one that is not", hint="unpack it first: unzip"
        ) from error
    except TrunklineError:
        raise
    except Exception as error:  # of bytes made to hurt it, the zipfile module lets all kinds pass, IndexError for one
        raise SourceError(
            "found a damaged zip archive, expected a whole one", hint="nothing of it was loaded; copy it again"
        ) from error
