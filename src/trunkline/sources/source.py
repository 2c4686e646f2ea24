"""Where records come from: files, folders, standard input and URLs, plain or compressed, as one kind of thing.

Imports nothing heavy: an unchanged source is recognised without numpy or pandas.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from threading import Event
from types import TracebackType
from typing import BinaryIO, Self

from blake3 import blake3

from trunkline.errors import NothingFoundError, SourceChangedError, SourceError, TrunklineError
from trunkline.framing.dialect import SAMPLE_BYTES
from trunkline.sources.compression import HEAD_BYTES, Compression, compression_of, misnamed
from trunkline.sources.expansion import expand
from trunkline.sources.naming import MEMBER_MARK, as_path, is_url, printable, shown, split_member
from trunkline.sources.opening import STDIN, open_stored, spooled
from trunkline.sources.stored import Stored
from trunkline.sources.zip_archive import ZipArchive, is_zip

__all__ = ["Container", "EarlierContent", "Source", "each_source", "open_container", "open_source"]

_SHOWN = 5  # members that a message lists
LONG_BYTES = 16 * 1024 * 1024  # several chunks: less is read and hashed before a thread has started


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierContent:
    """
    A source as it was when it was loaded before.

    Attributes:
        content_hash: BLAKE3 of its bytes as stored, in hex.
        bytes: How many they were.
        standing: Where in them the last of those blocks ended that may be there again.
    """

    content_hash: str
    bytes: int
    standing: int


class Source:
    """
    The bytes of one source, to be read as often as needed; close it with ``with``.

    Attributes:
        name: As the user gave it, without credentials and signatures, printable: fit for books, messages and logs.
        size: Bytes as stored, compressed or not; for a zip archive, of all of it.
        doubts: What its name promises and its content does not keep, if anything.
        grown_from: The earlier content that its bytes begin with, as `content_hash` found.
    """

    def __init__(self, name: str, stored: Stored, archive: ZipArchive | None = None, member: str = "") -> None:
        """
        Make a source of *stored*, or of a *member* of the *archive* that it is; `open_source` is what callers use.

        Raises:
            SourceError: If it cannot be read, or is compressed in a way that cannot be read.
        """
        self.name = name
        self.size = stored.size
        self._stored = stored
        self._archive = archive
        self._member = member
        self._hash: str | None = None
        self._rest_hash: str | None = None
        self.grown_from: EarlierContent | None = None
        with _named(self.name):
            head = self._head()
            stored_as = member or name
            self._compression: Compression | None = compression_of(stored_as, head)
            self.doubts = misnamed(stored_as, self._compression)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was spooled is deleted."""
        self._stored.close()

    @property
    def location(self) -> str | None:
        """Where other programs can read ranges of these very bytes, credentials included; None where they cannot."""
        return self._stored.location if self._archive is None and self._compression is None else None

    def kept(self) -> Self | None:
        """Return this source once more, to be read when this one is closed; None if it is no file of its own."""
        if self._archive is not None or not self._stored.can_change:
            return None
        return type(self)(self.name, self._stored.kept())

    def content_hash(self, given_up: Event | None = None, earlier: EarlierContent | None = None) -> str:
        """
        Return the BLAKE3 hash, in hex, of the bytes as stored; of a zip archive, of the member's.

        On all cores, but through `read` and not through a memory map: the process that maps a file which somebody
        cuts short dies of SIGBUS.  Once it is *given_up* nobody looks at what is returned.

        Args:
            given_up: Set by whoever does not need it any more.
            earlier: What may only have grown since; compressed bytes do not grow.
        """
        hasher, rest = blake3(max_threads=blake3.AUTO), blake3(max_threads=blake3.AUTO)
        if self._archive is not None or self._compression is not None or (earlier and earlier.bytes >= self.size):
            earlier = None
        with _named(self.name):
            packed = self._ahead(self._packed())
            for first, piece in _cut_at(packed, (earlier.standing, earlier.bytes) if earlier else ()):
                if given_up is not None and given_up.is_set():
                    return ""
                if earlier is not None and first == earlier.bytes and hasher.hexdigest() != earlier.content_hash:
                    earlier = None
                if earlier is not None and first >= earlier.standing:
                    rest.update(piece)
                hasher.update(piece)
        self._hash = hasher.hexdigest()
        if earlier is not None:
            self.grown_from, self._rest_hash = earlier, rest.hexdigest()
        return self._hash

    def rest(self) -> Iterator[bytes]:
        """Yield the bytes after the blocks of `grown_from`; raises as `chunks` does."""
        if self.grown_from is None:
            raise ValueError(f"{self.name} has not grown")
        with _named(self.name):
            yield from self._read(self._stored.chunks(self.grown_from.standing), self._rest_hash)

    def read_at(self, first_byte: int, length: int) -> bytes:
        """Return *length* bytes, as stored, from *first_byte* on; raises as `chunks` does."""
        with _named(self.name):
            return self._stored.read_at(first_byte, length)

    def changed(self) -> SourceChangedError:
        """Return the error that says that the bytes are not what they were."""
        return self._stored.changed("changed")

    def chunks(self) -> Iterator[bytes]:
        """
        Yield the decompressed bytes.

        Raises:
            SourceError: If they cannot be read, or an archive is damaged, which may show only at its end.
            SourceChangedError: If the file became shorter meanwhile, or at the end, if the bytes are not those of
                which `content_hash` was taken.
        """
        with _named(self.name):
            packed = self._read(self._packed(), self._hash)
            yield from packed if self._compression is None else self._compression.decompress(packed)

    def sample(self) -> bytes:
        """Return the first 64 KiB of the decompressed bytes, or all if there are fewer."""
        if self._compression is None and self._archive is None:
            return self._stored.read_at(0, SAMPLE_BYTES)
        return _first_of(self.chunks(), SAMPLE_BYTES)

    def check_unchanged(self, *, may_grow: bool = False) -> None:
        """
        Raise unless the file is still the one that was opened, as far as its size, time and place tell.

        Args:
            may_grow: Whether it may have become longer: what was read is what was there when it was opened.

        Raises:
            SourceChangedError: If it was written to, replaced or deleted since.
        """
        with _named(self.name):
            self._stored.check_unchanged(may_grow=may_grow)

    def _packed(self) -> Iterator[bytes]:
        """Yield the bytes as stored or, of a zip archive, those of the member."""
        return self._stored.chunks() if self._archive is None else self._archive.read(self._member)

    def _read(self, packed: Iterator[bytes], content_hash: str | None) -> Iterator[bytes]:
        """Return the same bytes, read ahead where they are many, and made sure of where they were hashed before."""
        if content_hash is not None and self._stored.can_change:
            packed = self._verified(packed, content_hash)
        return self._ahead(packed)

    def _ahead(self, packed: Iterator[bytes]) -> Iterator[bytes]:
        return _read_ahead(packed) if self.size >= LONG_BYTES else packed

    def _verified(self, packed: Iterator[bytes], content_hash: str) -> Iterator[bytes]:
        """
        Yield the same, and make sure at the end that they are the bytes that were hashed.

        Size and time of a file that is written to in place may stay as they were: times are coarse, can be set, and
        come late for what is written through a memory map.
        """
        hasher = blake3()
        for chunk in packed:
            hasher.update(chunk)
            yield chunk
        if hasher.hexdigest() != content_hash:
            raise self.changed()

    def _head(self) -> bytes:
        if self._archive is None:
            return self._stored.read_at(0, HEAD_BYTES)
        return _first_of(self._archive.read(self._member), HEAD_BYTES)


def _cut_at(chunks: Iterable[bytes], places: Iterable[int]) -> Iterator[tuple[int, memoryview]]:
    """Yield where each piece begins, and the piece: chunks, cut in two where one of the *places* is in them."""
    borders = sorted({*places})
    first = 0
    for chunk in chunks:
        end = first + len(chunk)
        cuts = [first, *(place for place in borders if first < place < end), end]
        for begin, following in pairwise(cuts):
            yield begin, memoryview(chunk)[begin - first : following - first]
        first = end


def _read_ahead(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield chunks, of which a thread reads, and verifies, the next one while the caller looks at this one."""
    from concurrent.futures import ThreadPoolExecutor  # imports logging

    with ThreadPoolExecutor(1, thread_name_prefix="trunkline-reader") as reader:
        following = reader.submit(next, chunks, None)
        while (chunk := following.result()) is not None:
            following = reader.submit(next, chunks, None)
            yield chunk


def _first_of(chunks: Iterator[bytes], size: int) -> bytes:
    found = bytearray()
    for chunk in chunks:
        found += chunk
        if len(found) >= size:
            break
    return bytes(found[:size])


class Container:
    """
    An opened file and the sources in it: itself, or each member of the zip archive that it is; close it with ``with``.

    Attributes:
        names: Those of its sources.
    """

    def __init__(self, stored: Stored, member: str | None = None) -> None:
        """
        Take over an opened file; closed also if this fails.

        Args:
            stored: The file.
            member: The one that is meant, of a zip archive; None: all.

        Raises:
            SourceError: If it is a zip archive that is damaged or has no such member.
        """
        self._stored = stored
        self._archive: ZipArchive | None = None
        self._members: dict[str, str] = {stored.name: ""}
        try:
            with _named(f"{stored.name}{MEMBER_MARK}{printable(member)}" if member else stored.name):
                if member or is_zip(stored.read_at(0, HEAD_BYTES)):
                    self._archive = ZipArchive(stored.read_at, stored.size)
                    self._members = self._named_members(self._archive, member)
        except BaseException:
            stored.close()
            raise
        self.names = list(self._members)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stored.close()

    def open(self, name: str) -> Source:
        """
        Return one of its sources, which is to be closed by closing this.

        Raises:
            SourceError: If it cannot be read.
        """
        return Source(name, self._stored, self._archive, self._members[name])

    def only(self) -> Source:
        """
        Return its one source; who closes that needs not close this.

        Raises:
            SourceError: If it has several, or cannot be read; then it is closed.
        """
        try:
            self._check_one()
            return self.open(self.names[0])
        except BaseException:
            self._stored.close()
            raise

    def _check_one(self) -> None:
        if len(self.names) == 1:
            return
        members = ", ".join(list(self._members.values())[:_SHOWN]) + (", ..." if len(self.names) > _SHOWN else "")
        raise SourceError(
            f"found {len(self.names)} members in the zip archive ({members}), expected one",
            where=self._stored.name,
            hint=f"name one of them: ARCHIVE{MEMBER_MARK}MEMBER",
        )

    def _named_members(self, archive: ZipArchive, member: str | None) -> dict[str, str]:
        if member is not None:
            archive.check_member(member)
            return {f"{self._stored.name}{MEMBER_MARK}{member}": member}
        if len(archive.members) == 1:
            return {self._stored.name: archive.members[0]}
        return {f"{self._stored.name}{MEMBER_MARK}{one}": one for one in archive.members}


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Say in errors that pass which source they are about."""
    try:
        yield
    except TrunklineError as error:
        error.where = name
        raise


def each_source(names: Iterable[str], *, allow_empty: bool = False) -> Iterator[tuple[str, Source | TrunklineError]]:
    """
    Yield all sources that *names* stand for, each open until the next one is asked for, or what is wrong with it.

    Args:
        names: Paths, globs, folders, URLs and ``-``.
        allow_empty: Whether a glob or folder may stand for nothing.

    Returns:
        Its name, fit for books and messages, and the source or the error.
    """
    for name in names:
        try:
            files = expand([name])
        except SourceError as error:
            if not (allow_empty and isinstance(error, NothingFoundError)):
                yield shown(name), error
            continue
        for file in files:
            yield from _each_in(file)


def _each_in(file: str) -> Iterator[tuple[str, Source | TrunklineError]]:
    try:
        container = open_container(file)
    except TrunklineError as error:
        yield shown(file), error
        return
    with container:
        for name in container.names:
            yield name, _opened_in(container, name)


def _opened_in(container: Container, name: str) -> Source | TrunklineError:
    try:
        return container.open(name)
    except TrunklineError as error:
        return error


def open_container(name: str | os.PathLike[str], *, stdin: BinaryIO | None = None) -> Container:
    """
    Open what a name stands for, once for all sources in it.

    Args:
        name: Path, URL or ``-``, which may go on with ``::`` and the name of a member of a zip archive.
        stdin: What ``-`` means, by default the standard input of the process.

    Raises:
        SourceError: If it is missing or cannot be read, or for a folder: `expand` names the files in it.
    """
    whole, member = _split(as_path(os.fspath(name)))
    return Container(open_stored(whole, stdin=stdin), member)


def open_source(source: str | os.PathLike[str] | bytes | BinaryIO, *, stdin: BinaryIO | None = None) -> Source:
    """
    Open a source.

    What is not a regular file (standard input, a pipe, a URL, an open file) is first copied to a temporary file,
    since it has to be read more than once: its hash says whether it is unchanged.

    Args:
        source: The content itself as bytes, a file open for reading bytes, or a name as for `open_container`.
        stdin: As there.

    Raises:
        SourceError: As there, and for a zip archive of several members.
    """
    if isinstance(source, bytes):
        return Container(Stored("<bytes>", io.BytesIO(source))).only()
    if isinstance(source, str | os.PathLike):
        return open_container(source, stdin=stdin).only()
    return Container(spooled(shown(str(getattr(source, "name", "<file>"))), source)).only()


def _split(name: str) -> tuple[str, str | None]:
    """Return what is to be opened, and the member of it that is meant, if one is."""
    if not is_url(name) and os.path.exists(name):  # noqa: PTH110 - for Path, some names raise errors
        return name, None
    whole, mark, member = name.partition(MEMBER_MARK)
    if mark and member and (whole == STDIN or os.path.isfile(whole)):  # noqa: PTH113 - as above
        return whole, member
    return split_member(name)
