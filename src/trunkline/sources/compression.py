"""Compressed bytes become plain ones, strictly: damaged, cut short or followed by something else is an error.  No I/O.

Readers hand out data before they find a bad checksum at its end; so whoever reads must not count anything before the
last chunk came.
"""

from __future__ import annotations

import bz2
import codecs
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePath
from typing import Any, Protocol

from trunkline.errors import SourceError
from trunkline.sources.naming import ZIP_SUFFIX

_CHUNK_BYTES = 1024 * 1024  # of output at a time: a bomb fills no memory
# Of input at a time: after each stream, decoders hand the rest of it back as a copy, and some files are thousands of
# streams (BGZF, or logs that were compressed and appended line by line).
_PIECE_BYTES = 64 * 1024
_MOST_MEMORY_BYTES = 128 * 1024 * 1024  # `xz -9` needs 65 MiB; libzstd stops at a window of 128 MiB by itself
_MOST_PLAIN_BYTES = 256 * 1024 * 1024
_MOST_RATIO = 400


class _Decoder(Protocol):
    """What bz2, lzma and zstd share: one stream, fed piece by piece."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _GzipDecoder:
    """zlib in the shape of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)  # with the header and trailer of RFC 1952
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.needs_input = not self._inner.unconsumed_tail and len(out) < max_length
        return out


def _zstd_decoder() -> _Decoder:
    for module in ("compression.zstd", "backports.zstd"):  # the first from Python 3.14
        try:
            decoder: _Decoder = import_module(module).ZstdDecompressor()
        except ImportError:
            continue
        return decoder
    raise SourceError("reading .zst needs a package that is not installed", hint="pip install 'trunkline[zstd]'")


@dataclass(frozen=True, kw_only=True, slots=True)
class Compression:
    """
    A compressed format.

    Attributes:
        name: For messages.
        suffix: Of file names.
        marks: What its streams begin with, one of these.
        padded: Whether NUL bytes may follow the streams, as tapes and ``xz --block-list`` leave them.
        decoder: Makes a decoder of one stream.
    """

    name: str
    suffix: str
    marks: tuple[bytes, ...]
    padded: bool
    decoder: Callable[[], _Decoder]

    def decompress(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """
        Yield the plain bytes of all streams, which may follow one another.

        Raises:
            SourceError: If a stream is damaged, cut short, or followed by anything but another one.
        """
        decoder: _Decoder | None = None
        packed = plain = 0
        for piece in _pieces(chunks):
            data = piece
            packed += len(piece)
            while data or (decoder is not None and not decoder.needs_input):
                if decoder is None:
                    data = data.lstrip(b"\0") if self.padded else data
                    if not data:
                        break
                    if not any(mark.startswith(data[: len(mark)]) for mark in self.marks):
                        raise self._damaged()
                    decoder = self.decoder()
                found = self._step(decoder, data)
                plain += len(found)
                check_ratio(packed, plain)
                yield found
                data = b""
                if decoder.eof:
                    data, decoder = decoder.unused_data, None
        if decoder is not None:
            raise SourceError(
                f"found the end of the file inside {self.name} data, expected a whole archive", hint="copy it again"
            )

    def _step(self, decoder: _Decoder, data: bytes) -> bytes:
        try:
            return decoder.decompress(data, _CHUNK_BYTES)
        except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
            raise self._damaged(error) from error
        except Exception as error:
            if type(error).__name__ != "ZstdError":
                raise
            raise self._damaged(error) from error

    def _damaged(self, error: Exception | None = None) -> SourceError:
        if error and "memory" in str(error).lower():  # so do liblzma and libzstd say that they were not allowed enough
            return SourceError(
                f"found {self.name} data that needs more than {_MOST_MEMORY_BYTES // 2**20} MiB to decompress,"
                " expected less",
                hint="decompress it first",
            )
        return SourceError(
            f"found damaged {self.name} data, or something else after its end, expected a whole archive",
            hint="nothing of it was loaded; copy it again",
        )


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        yield from (chunk[at : at + _PIECE_BYTES] for at in range(0, len(chunk), _PIECE_BYTES))


def check_ratio(packed: int, plain: int) -> None:
    """
    Raise if so many bytes out of so few are no call logs: those come to 5 to 20 times what they are compressed.

    Args:
        packed: Bytes that were compressed.
        plain: Bytes that came out of them so far.

    Raises:
        SourceError: If it is more than 256 MiB, and more than 400 times as much.
    """
    if plain > _MOST_PLAIN_BYTES and plain > _MOST_RATIO * packed:
        raise SourceError(
            f"found more than {_MOST_PLAIN_BYTES // 2**20} MiB in {packed} compressed bytes, expected call logs",
            hint="if it really holds them, decompress it first",
        )


def _xz_decoder() -> Any:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MOST_MEMORY_BYTES)


def _lzma_decoder() -> Any:
    return lzma.LZMADecompressor(format=lzma.FORMAT_ALONE, memlimit=_MOST_MEMORY_BYTES)


# RFC 8878, 3.1.1 and 3.1.2: a frame, or one to be skipped, as parallel and seekable writers leave them.
_ZSTD_MARKS = (b"\x28\xb5\x2f\xfd", *(bytes([first]) + b"\x2a\x4d\x18" for first in range(0x50, 0x60)))

COMPRESSIONS = (
    Compression(name="gzip", suffix=".gz", marks=(b"\x1f\x8b",), padded=True, decoder=_GzipDecoder),
    Compression(name="bzip2", suffix=".bz2", marks=(b"BZh",), padded=False, decoder=bz2.BZ2Decompressor),
    Compression(name="xz", suffix=".xz", marks=(b"\xfd7zXZ\0",), padded=True, decoder=_xz_decoder),
    Compression(name="zstd", suffix=".zst", marks=_ZSTD_MARKS, padded=False, decoder=_zstd_decoder),
)
_BZIP2_BLOCKS = (b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90")  # a column may well be called BZh9
# Members of zip archives only: the format has no mark to know it by.
LZMA_ALONE = Compression(name="LZMA", suffix=".lzma", marks=(b"",), padded=False, decoder=_lzma_decoder)
HEAD_BYTES = 512  # enough to know any archive by, and to tell text from a damaged one
_ZIP_MAGIC = b"PK\x03\x04"
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_PLAIN_SUFFIXES = (".csv", ".txt", ".tsv")
_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)


def compression_of(name: str, head: bytes) -> Compression | None:
    """
    Return how a source is compressed, by what it begins with; None if it is not.

    Args:
        name: Of the source.
        head: Its first HEAD_BYTES.

    Raises:
        SourceError: If the name says that it is compressed and its bytes are neither that nor text, or for an archive
            that we do not read.
    """
    if head.startswith(_ZIP_MAGIC):
        raise SourceError("found a zip archive inside of another one, expected a CSV file", hint="unpack it: unzip")
    for one in COMPRESSIONS:
        if head.startswith(one.marks) and (one.suffix != ".bz2" or head[4:10] in _BZIP2_BLOCKS):
            return one
    promised = _promised(name)
    if promised is not None and not _is_text(head):
        raise SourceError(
            f"found neither {promised} data nor text in a file called {_suffix(name)}, expected an archive",
            hint="nothing of it was loaded; copy it again",
        )
    return None


def misnamed(name: str, compression: Compression | None) -> tuple[str, ...]:
    """
    Return in words how a source is read in spite of its name; nothing where the name does not mislead.

    >>> misnamed("calls.csv.gz", None)
    ('found plain text in a file called .gz; read as that',)
    """
    promised = _promised(name)
    found = compression.name if compression else None
    if promised == found or (promised is None and _suffix(name) not in _PLAIN_SUFFIXES):
        return ()
    return (f"found {f'{found} data' if found else 'plain text'} in a file called {_suffix(name)}; read as that",)


def _suffix(name: str) -> str:
    return PurePath(name).suffix.lower()


def _promised(name: str) -> str | None:
    """Return the compression that a name promises."""
    suffix = _suffix(name)
    return "zip" if suffix == ZIP_SUFFIX else next((one.name for one in COMPRESSIONS if one.suffix == suffix), None)


def _is_text(head: bytes) -> bool:
    return head.startswith(_WIDE_MARKS) or (head != b"" and not _CONTROL.search(head))
