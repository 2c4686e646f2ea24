"""Where records come from: files, folders, standard input and URLs, plain or compressed, as one kind of thing.

Imports nothing heavy: an unchanged source is recognised without numpy or pandas.
"""

from __future__ import annotations

import glob
import io
import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import BinaryIO

from blake3 import blake3

from trunkline.errors import SourceChangedError, SourceError, TrunklineError
from trunkline.framing.dialect import SAMPLE_BYTES
from trunkline.sources.compression import compression_of
from trunkline.sources.remote import fetch, is_url, redacted
from trunkline.sources.zip_archive import MEMBER_MARK, ZIP_SUFFIX, ZipArchive, is_zip, split_member

__all__ = ["Source", "expand", "open_source", "redacted"]

STDIN = "-"
_CHUNK_BYTES = 4 * 1024 * 1024
_HEAD_BYTES = 16  # enough to know any archive by
_FOLDER_PATTERN = "*.csv*"  # calls.csv, calls.csv.gz, Master.csv.2024-01-31-23-59-59


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


class Source:
    """
    The bytes of one source, to be read as often as needed; close it with ``with``.

    Attributes:
        name: As the user gave it, without credentials and signatures: fit for books, messages and logs.
        size: Bytes as stored, compressed or not; for a zip archive, of all of it.
    """

    def __init__(self, name: str, file: BinaryIO, *, path: Path | None = None, member: str | None = None) -> None:
        """
        Take over an open file; `open_source` is what callers use.

        Args:
            name: Without secrets.
            file: Seekable, with nobody else reading from it; closed also if this fails.
            path: Where it is, if others can change it there.
            member: Of a zip archive, the one to be read; None: the only one.
        """
        self.name = name
        self._file = file
        self._path = path
        self._lock = Lock()
        self._opened = _State.of(os.fstat(file.fileno())) if path else None
        self.size = self._opened.size if self._opened else file.seek(0, io.SEEK_END)
        try:
            with self._named():
                head = self._read(0, _HEAD_BYTES)
                self._zip = ZipArchive(self._read_at, self.size) if member or is_zip(head) else None
                if self._zip is not None:
                    self._member = member or self._zip.only_member()
                    name, head = self._member, self._head_of_member()
                self._compression = compression_of(name, head)
        except BaseException:
            file.close()
            raise

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was spooled is deleted."""
        self._file.close()

    def content_hash(self) -> str:
        """
        Return the BLAKE3 hash, in hex, of the bytes as stored; of a zip archive, of the member's.

        On all cores, but through `read` and not through a memory map: the process that maps a file which somebody
        cuts short dies of SIGBUS.
        """
        hasher = blake3(max_threads=blake3.AUTO)
        with self._named():
            for chunk in self._packed():
                hasher.update(chunk)
        return hasher.hexdigest()

    def chunks(self) -> Iterator[bytes]:
        """
        Yield the decompressed bytes.

        Raises:
            SourceError: If they cannot be read, or an archive is damaged, which may show only at its end.
            SourceChangedError: If the file became shorter meanwhile.
        """
        with self._named():
            packed = self._packed()
            yield from packed if self._compression is None else self._compression.decompress(packed)

    def sample(self) -> bytes:
        """Return the first 64 KiB of the decompressed bytes, or all if there are fewer."""
        found = bytearray()
        for chunk in self.chunks():
            found += chunk
            if len(found) >= SAMPLE_BYTES:
                break
        return bytes(found[:SAMPLE_BYTES])

    def check_unchanged(self, *, may_grow: bool = False) -> None:
        """
        Raise unless the file is still the one that was opened.

        Args:
            may_grow: Whether it may have become longer: what was read is what was there when it was opened.

        Raises:
            SourceChangedError: If it was written to, replaced or deleted since.
        """
        if self._path is None:
            return
        try:
            there = _State.of(self._path.stat())
        except FileNotFoundError:
            raise self._changed("is gone") from None
        if not there.follows(self._opened, may_grow=may_grow):
            raise self._changed("changed")
        if not _State.of(os.fstat(self._file.fileno())).follows(self._opened, may_grow=may_grow):
            raise self._changed("changed")

    def _packed(self) -> Iterator[bytes]:
        """Yield the bytes as stored or, of a zip archive, those of the member."""
        return self._stored() if self._zip is None else self._zip.read(self._member)

    def _head_of_member(self) -> bytes:
        found = b""
        for chunk in self._packed():
            found += chunk
            if len(found) >= _HEAD_BYTES:
                break
        return found[:_HEAD_BYTES]

    def _read_at(self, position: int, length: int) -> bytes:
        return self._read(position, length) if length else b""

    def _stored(self) -> Iterator[bytes]:
        """Yield the bytes as stored, exactly `size` of them."""
        position = 0
        while position < self.size:
            chunk = self._read(position, min(_CHUNK_BYTES, self.size - position))
            yield chunk
            position += len(chunk)

    def _read(self, position: int, length: int) -> bytes:
        with self._lock:
            try:
                self._file.seek(position)
                found = self._file.read(length)
            except OSError as error:
                raise SourceError(f"cannot be read: {error.strerror}", where=self.name) from error
        if len(found) < min(length, self.size - position):
            raise self._changed("became shorter")
        return found

    def _changed(self, how: str) -> SourceChangedError:
        return SourceChangedError(
            f"{how} while it was read", where=self.name, hint="load it again when nobody writes to it"
        )

    def _named(self) -> _Named:
        return _Named(self.name)


class _Named:
    """Says in errors that pass which source they are about."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, TrunklineError) and error.where is None:
            error.where = self._name


def open_source(source: str | os.PathLike[str] | bytes | BinaryIO, *, stdin: BinaryIO | None = None) -> Source:
    """
    Open a source.

    What is not a regular file (standard input, a pipe, a URL, an open file) is first copied to a temporary file,
    since it has to be read more than once: its hash says whether it is unchanged.

    Args:
        source: Path, URL, ``-``, the content itself as bytes, or a file open for reading bytes.  A path may go on
            with ``::`` and the name of a member of a zip archive.
        stdin: What ``-`` means, by default the standard input of the process.

    Raises:
        SourceError: If it is missing or cannot be read, or for a folder: `expand` names the files in it.
    """
    if isinstance(source, bytes):
        return Source("<bytes>", io.BytesIO(source))
    if not isinstance(source, str | os.PathLike):
        return _spooled(str(getattr(source, "name", "<file>")), source)
    name = os.fspath(source)
    if name == STDIN:
        return _spooled(STDIN, stdin or sys.stdin.buffer)
    if name.startswith("file://"):
        name = name.removeprefix("file://")
    if is_url(name):
        return _fetched(name)
    archive, member = split_member(name)
    if member is None or Path(name).exists():
        return _opened(Path(name))
    return _opened(Path(archive), name=name, member=member)


def expand(names: Iterable[str]) -> list[str]:
    """
    Return the sources that *names* stand for, each in the place of its name.

    A folder stands for its files called ``*.csv*``, not for those in folders below; a glob (``*``, ``?``, ``[]``,
    and ``**`` for folders of any depth) for the files it matches; both sorted by name, without hidden files.  A zip
    archive of several files stands for each of them.
    Everything else stands for itself.

    Raises:
        SourceError: If a folder or glob stands for nothing, or a name is empty.
    """
    return [source for name in names for file in _expand(name) for source in _expand_zip(file)]


def _expand_zip(name: str) -> list[str]:
    """Return the members of a zip archive that has several, each as a source; anything else as it is."""
    path = Path(name)
    if not name.lower().endswith(ZIP_SUFFIX) or is_url(name) or not path.is_file():
        return [name]
    try:
        with path.open("rb") as file:
            members = ZipArchive(partial(_read_from, file), path.stat().st_size).members
    except (OSError, SourceError):
        return [name]  # whoever opens it is told what is wrong with it
    return [name] if len(members) == 1 else [f"{name}{MEMBER_MARK}{member}" for member in members]


def _read_from(file: BinaryIO, position: int, length: int) -> bytes:
    file.seek(position)
    return file.read(length)


def _expand(name: str) -> list[str]:
    if name == STDIN or is_url(name):
        return [name]
    if not name:  # a path library takes it for this folder; more likely it is a variable that is not set
        raise SourceError("found an empty name, expected a file, folder, glob or URL")
    path = Path(name)
    if path.is_dir():
        found = sorted(str(one) for one in path.glob(_FOLDER_PATTERN) if one.is_file() and not one.name.startswith("."))
        if not found:
            raise SourceError(f"found no {_FOLDER_PATTERN} in the folder, expected call logs", where=name)
        return found
    if path.exists() or not glob.has_magic(name):
        return [name]
    found = sorted(one for one in glob.glob(name, recursive=True) if Path(one).is_file())  # noqa: PTH207 (keeps "./")
    if not found:
        raise SourceError("no file matches, expected at least one", where=name)
    return found


def _opened(path: Path, *, name: str | None = None, member: str | None = None) -> Source:
    name = name or str(path)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise SourceError("not found, expected a file", where=name) from None
    except IsADirectoryError:
        raise SourceError("found a folder, expected a file", where=name) from None
    except OSError as error:
        raise SourceError(f"cannot be opened: {error.strerror}", where=name) from error
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return Source(name, file, path=path, member=member)
    with file:
        return _spooled(name, file)


def _fetched(url: str) -> Source:
    spool = _spool()
    try:
        fetch(url, spool)
    except BaseException:
        spool.close()
        raise
    return Source(redacted(url), spool)


def _spooled(name: str, file: BinaryIO) -> Source:
    spool = _spool()
    try:
        while chunk := file.read(_CHUNK_BYTES):
            spool.write(chunk)
    except OSError as error:
        spool.close()
        raise SourceError(
            f"cannot be copied to a temporary file: {error.strerror}",
            where=name,
            hint="set TMPDIR to a folder with room for it",
        ) from error
    except BaseException:
        spool.close()
        raise
    return Source(name, spool)


def _spool() -> BinaryIO:
    return tempfile.TemporaryFile(prefix="trunkline-")
