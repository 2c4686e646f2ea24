"""Zip archives: which members are sources, and their bytes, read in place.

Nothing is unpacked to disk, so a member's name is only a name: no path leaves the archive.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain

from trunkline.errors import SourceError, TrunklineError
from trunkline.sources.compression import COMPRESSIONS, LZMA_ALONE, check_ratio
from trunkline.sources.naming import printable

_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # of a first member, or of an archive without one
_CHUNK_BYTES = 1024 * 1024  # of output at a time: a bomb fills no memory
_PACKED_BYTES = 64 * 1024  # of input at a time
# Of all others the zipfile module hands out at once whatever comes of its input: gigabytes, of 4 KiB of bzip2.
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ZIP_ZSTD = 93
_LOCAL_HEADER = struct.Struct("<26xHH")  # APPNOTE.TXT 4.3.7: the lengths of name and extra field are its last
_LZMA_HEADER = struct.Struct("<2xH5s")  # the same, 5.8.8: version, length of the properties, properties
_ENDS_BY_MARK = 0x02  # the same, 4.4.4: of LZMA data, its end is marked
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
        self._read_at = read_at
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
        with _told(), self._archive.open(found) as file:  # which compares its two headers, too
            if found.compress_type in _BOUNDED:
                yield from _limited(found, iter(partial(file.read, _CHUNK_BYTES), b""))
            else:
                yield from _checked(found, _decompressed(found, self._read_at))


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


def _limited(member: zipfile.ZipInfo, chunks: Iterable[bytes]) -> Iterator[bytes]:
    plain = 0
    for chunk in chunks:
        plain += len(chunk)
        check_ratio(member.compress_size, plain)
        yield chunk


def _checked(member: zipfile.ZipInfo, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a member, and compare them at the end with their checksum and number."""
    crc = size = 0
    for chunk in chunks:
        crc = zlib.crc32(chunk, crc)
        size += len(chunk)
        yield chunk
    if (crc, size) != (member.CRC, member.file_size):
        raise zipfile.BadZipFile


def _decompressed(member: zipfile.ZipInfo, read_at: ReadAt) -> Iterator[bytes]:
    """Yield the bytes of a member that the zipfile module would decompress without bound."""
    lengths = _LOCAL_HEADER.unpack(read_at(member.header_offset, _LOCAL_HEADER.size))
    start = member.header_offset + _LOCAL_HEADER.size + sum(lengths)
    end = start + member.compress_size
    if member.compress_type != zipfile.ZIP_LZMA:
        name = "zstd" if member.compress_type == _ZIP_ZSTD else "bzip2"
        (compression,) = (one for one in COMPRESSIONS if one.name == name)
        return compression.decompress(_stored(read_at, start, end))
    length, properties = _LZMA_HEADER.unpack(read_at(start, _LZMA_HEADER.size))
    if length != len(properties):
        raise zipfile.BadZipFile
    size = -1 if member.flag_bits & _ENDS_BY_MARK else member.file_size
    alone = properties + struct.pack("<q", size)  # the header of an .lzma file
    return LZMA_ALONE.decompress(chain([alone], _stored(read_at, start + _LZMA_HEADER.size, end)))


def _stored(read_at: ReadAt, start: int, end: int) -> Iterator[bytes]:
    return (read_at(at, min(_PACKED_BYTES, end - at)) for at in range(start, end, _PACKED_BYTES))


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
