"""Compressed bytes become plain ones, strictly: damaged, cut short or followed by something else is an error.  No I/O.

Readers hand out data before they find a bad checksum at its end; so whoever reads must not count anything before the
last chunk came.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from trunkline.errors import SourceError

_CHUNK_BYTES = 1024 * 1024  # of output at a time: a bomb fills no memory


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
        magic: What its files begin with.
        padded: Whether NUL bytes may follow the streams, as tapes and ``xz --block-list`` leave them.
        decoder: Makes a decoder of one stream.
    """

    name: str
    suffix: str
    magic: bytes
    padded: bool
    decoder: Callable[[], _Decoder]

    def decompress(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """
        Yield the plain bytes of all streams, which may follow one another.

        Raises:
            SourceError: If a stream is damaged, cut short, or followed by anything but another one.
        """
        decoder: _Decoder | None = None
        for chunk in chunks:
            data = chunk
            while data or (decoder is not None and not decoder.needs_input):
                if decoder is None:
                    data = data.lstrip(b"\0") if self.padded else data
                    if not data:
                        break
                    if not self.magic.startswith(data[: len(self.magic)]):
                        raise self._damaged()
                    decoder = self.decoder()
                yield self._step(decoder, data)
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
            raise self._damaged() from error
        except Exception as error:
            if type(error).__name__ != "ZstdError":
                raise
            raise self._damaged() from error

    def _damaged(self) -> SourceError:
        return SourceError(
            f"found damaged {self.name} data, or something else after its end, expected a whole archive",
            hint="nothing of it was loaded; copy it again",
        )


def _xz_decoder() -> Any:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ)


COMPRESSIONS = (
    Compression(name="gzip", suffix=".gz", magic=b"\x1f\x8b", padded=True, decoder=_GzipDecoder),
    Compression(name="bzip2", suffix=".bz2", magic=b"BZh", padded=False, decoder=bz2.BZ2Decompressor),
    Compression(name="xz", suffix=".xz", magic=b"\xfd7zXZ\0", padded=True, decoder=_xz_decoder),
    Compression(name="zstd", suffix=".zst", magic=b"\x28\xb5\x2f\xfd", padded=False, decoder=_zstd_decoder),
)
_BZIP2_BLOCKS = (b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90")  # a column may well be called BZh9
_ZIP_MAGIC = b"PK\x03\x04"


def compression_of(name: str, head: bytes) -> Compression | None:
    """
    Return how a source is compressed, by what it begins with; None if it is not.

    Args:
        name: Of the source; its suffix must not promise anything else.
        head: Its first 16 bytes.

    Raises:
        SourceError: If the name says that it is compressed and its bytes do not, or for formats we do not read.
    """
    if head.startswith(_ZIP_MAGIC):
        raise SourceError("found a zip archive inside of another one, expected a CSV file", hint="unpack it: unzip")
    for one in COMPRESSIONS:
        if head.startswith(one.magic) and (one.suffix != ".bz2" or head[4:10] in _BZIP2_BLOCKS):
            return one
    if name.lower().endswith(".zip"):
        raise SourceError(
            "found no zip archive in a file called .zip, expected one",
            hint="copy it again, or drop the suffix if it is plain text",
        )
    for one in COMPRESSIONS:
        if name.lower().endswith(one.suffix):
            raise SourceError(
                f"found no {one.name} data in a file called {one.suffix}, expected an archive",
                hint="copy it again, or drop the suffix if it is plain text",
            )
    return None
