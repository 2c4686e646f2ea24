"""The bytes of a source become a header and blocks of whole records; a record is a physical line.  No I/O.

numpy and pyarrow are imported when the first block is cut, not before: dialect and header need neither.
"""

from __future__ import annotations

import codecs
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING

from blake3 import blake3

from trunkline.errors import SourceError
from trunkline.framing.dialect import SAMPLE_BYTES, ResolvedDialect, resolve_dialect
from trunkline.framing.records import Damage, split_lines, split_record

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from trunkline.blocks import Block
    from trunkline.framing.borders import BlockSizes

__all__ = ["EarlierBlock", "Framed", "ResolvedDialect", "SourceForm", "block_identity", "frame", "resolve_dialect"]

# Part of every block's identity: raise it when the same bytes, dialect and header come to mean other text.
_EXTRACT_VERSION = 2

_MAX_LINE_BYTES = 8 * 1024 * 1024  # a longer line is no call log, and reading on would need memory without bound


@dataclass(frozen=True, kw_only=True, slots=True)
class Framed:
    """
    A source cut into blocks.

    Attributes:
        header: The column names as the source has them (they may repeat), "1".."n" for a source without a header,
            () for a source without any record.
        blocks: The records, in order; an iterator that can be used once.  Joined, the data of all blocks are the
            source after its header.
        preamble: What stands before them: byte order mark, skipped lines and header, as bytes.
    """

    header: tuple[str, ...]
    blocks: Iterator[Block]
    preamble: bytes = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceForm:
    """
    What must be known of a source to read its records without it.

    Attributes:
        preamble: The bytes before the first record: byte order mark, skipped lines, header.
        header: As in `Framed`.
    """

    preamble: bytes
    header: tuple[str, ...]
    dialect: ResolvedDialect

    @classmethod
    def of(cls, framed: Framed, dialect: ResolvedDialect) -> SourceForm:
        """Return the form of a source that was cut by *dialect*."""
        return cls(preamble=framed.preamble, header=framed.header, dialect=dialect)

    def __deepcopy__(self, memo: dict[int, object]) -> SourceForm:
        """Return itself: pandas deep-copies the attrs of a frame for each column that is looked at."""
        return self


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierBlock:
    """
    A block of an earlier reading of a source: where it began, it is likely to be again.

    Attributes are those of `Block`, but for its *size* in bytes.
    """

    position: int
    first_byte: int
    first_line: int
    size: int
    lines: int
    identity: str

    @property
    def end(self) -> int:
        """Where in the source the next block began."""
        return self.first_byte + self.size

    def filled(self, data: bytes) -> Block:
        """Return it as a block that has these bytes, which nobody has looked at."""
        from trunkline.blocks import Block

        return Block(
            position=self.position, first_byte=self.first_byte, first_line=self.first_line, data=data, lines=self.lines
        )


def frame(
    chunks: Iterable[bytes],
    dialect: ResolvedDialect,
    *,
    growing: bool = False,
    sizes: BlockSizes | None = None,
    earlier: Mapping[int, EarlierBlock] | None = None,
) -> Framed:
    """
    Read the header and cut what follows into blocks that end at line ends chosen by content.

    A physical line ends with LF, CRLF or CR and nothing else.  Blank lines are no records, and none is counted before
    a header.  The last line is a record also without a line end.  Memory is bounded by two blocks and a chunk.

    Args:
        chunks: The decompressed bytes of the source, from its first byte, in pieces of any length.
        dialect: As `resolve_dialect` found it.
        growing: Whether more may be written to the source: then a last line without line end is left out, since
            the rest of it may still come.
        sizes: The lengths of blocks, where not the usual ones.
        earlier: Blocks by first byte: where the same bytes are there again, so is the block, and nobody looks for its
            end or counts its lines.

    Raises:
        SourceError: If the header cannot be read, or a line is longer than 8 MiB (this one while blocks are read).
    """
    text = _text_bytes(chunks, dialect)
    reader = _Reader(_whole_lines(text) if growing else text)
    if dialect.encoding == "utf-8" and reader.peek(3) == codecs.BOM_UTF8:
        reader.head += reader.take(3)
    for _ in range(dialect.skip_lines):
        reader.take_line()
    header = _read_header(reader, dialect) if dialect.header else _count_columns(reader.peek(SAMPLE_BYTES), dialect)
    blocks = _cut(reader, dialect, header, sizes, earlier or {})
    return Framed(header=header, blocks=blocks, preamble=bytes(reader.head))


def frame_rest(
    chunks: Iterable[bytes], dialect: ResolvedDialect, header: tuple[str, ...], *, after: EarlierBlock, growing: bool
) -> Iterator[Block]:
    """
    Cut what follows a block of a source into blocks, as `frame` would.

    Args:
        chunks: The decompressed bytes that follow it.
        dialect: As for `frame`; one whose records are lines.
        header: As `frame` found it.
        after: The block.
        growing: As for `frame`.
    """
    reader = _Reader(_whole_lines(chunks) if growing else chunks)
    reader.offset, reader.line = after.end, after.first_line + after.lines
    return _cut(reader, dialect, header, None, {}, first_position=after.position + 1)


def block_identity(block: Block, header: tuple[str, ...], dialect: ResolvedDialect) -> str:
    """
    Return the BLAKE3 hash, in hex, that stands for the text of a block: of its bytes, the header and what of the
    dialect changes how they read.  Where the block stands in its source does not count.  Of a block that carries one
    it is that, which was taken with the header and dialect that the block was cut with.
    """
    return block.identity or _identity(block.data, header, dialect)


def _identity(data: bytes | memoryview, header: tuple[str, ...], dialect: ResolvedDialect) -> str:
    hasher = blake3(_reading_identity(header, dialect))
    hasher.update(data)
    return hasher.hexdigest()


@lru_cache(maxsize=64)
def _reading_identity(header: tuple[str, ...], dialect: ResolvedDialect) -> bytes:
    facts = [
        _EXTRACT_VERSION,
        dialect.delimiter,
        dialect.quote,
        dialect.escape,
        dialect.block_encoding,
        dialect.multiline,
        list(header),
        *_later_facts(dialect),
    ]
    return blake3(json.dumps(facts).encode()).digest()


def _later_facts(dialect: ResolvedDialect) -> list[object]:
    """Return what came later, and only where it is not usual, so that blocks without keep their identity."""
    stray_quotes = "stray quotes" if dialect.stray_quotes == "keep" else ""
    # An escaped quote in a record without a delimiter was taken for damage once.
    escaped = "escaped" if dialect.blank_after and dialect.escape == "backslash" else ""
    return [each for each in (dialect.not_records, dialect.blank_after, stray_quotes, escaped) if each]


def _whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes up to and with the last line end."""
    pending: list[bytes] = []
    size = 0
    for chunk in chunks:
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        if end:
            yield b"".join([*pending, chunk[:end]])
            pending, size = [], 0
        pending.append(chunk[end:])
        size += len(chunk) - end
        if size > _MAX_LINE_BYTES:  # whoever reads it refuses it, in bounded memory
            yield b"".join(pending)
            pending, size = [], 0


def _text_bytes(chunks: Iterable[bytes], dialect: ResolvedDialect) -> Iterable[bytes]:
    """Return the chunks in an encoding where every ASCII character is its own byte."""
    return _to_utf8(chunks, dialect.encoding) if dialect.wide else chunks


def _to_utf8(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """
    Yield UTF-16 or UTF-32 as UTF-8 without a byte order mark.

    What cannot be decoded becomes bytes that UTF-8 does not allow either, so that its record, and no other, is
    rejected for it.
    """
    decoder = codecs.getincrementaldecoder(encoding)(errors=_MARK_UNDECODABLE)
    first = True
    for chunk in chunks:
        text = decoder.decode(chunk)
        if first and text:
            text, first = text.removeprefix("\ufeff"), False
        yield text.encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")


def _mark_undecodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udfff", error.end


_MARK_UNDECODABLE = "trunkline.mark_undecodable"
codecs.register_error(_MARK_UNDECODABLE, _mark_undecodable)


class _Reader:
    """
    Chunks as one run of bytes that can be looked at before they are taken.

    What is pending lies in one buffer that is used over and over: memory that is new each time costs more than
    moving the bytes.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._ended = False
        self._buffer = bytearray()
        self._begin = self._end = 0
        self.offset = 0
        self.line = 1
        self.head = bytearray()  # lines that were taken one by one, with what stands before them

    def fill(self, size: int) -> memoryview:
        """Return what is pending, at least *size* bytes unless the source has no more; valid until the next call."""
        while self._end - self._begin < size and not self._ended:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._ended = True
            else:
                self._append(chunk)
        return memoryview(self._buffer)[self._begin : self._end]

    def _append(self, chunk: bytes) -> None:
        if self._end + len(chunk) > len(self._buffer):
            pending = memoryview(self._buffer)[self._begin : self._end]
            if len(pending) + len(chunk) > len(self._buffer):
                self._buffer = bytearray(max(2 * len(self._buffer), len(pending) + len(chunk)))
            memoryview(self._buffer)[: len(pending)] = pending  # they may overlap: that is allowed
            self._begin, self._end = 0, len(pending)
        memoryview(self._buffer)[self._end : self._end + len(chunk)] = chunk
        self._end += len(chunk)

    def peek(self, size: int) -> bytes:
        """Return the next *size* bytes, or all that are left."""
        return bytes(self.fill(size)[:size])

    def take(self, size: int) -> bytes:
        """Return the next *size* bytes, which are pending, and move on."""
        taken = bytes(memoryview(self._buffer)[self._begin : self._begin + size])
        self._begin += size
        self.offset += size
        return taken

    def take_line(self) -> bytes | None:
        """Return the next physical line with its end, or None at the end of the source."""
        size = SAMPLE_BYTES
        while True:
            head = self.peek(size)
            end = _line_end(head)
            if len(head) < size:
                end = end or len(head)
                break
            if end is not None and end < len(head):  # at its very end, a CR may still become a CRLF
                break
            if size > _MAX_LINE_BYTES:
                raise _line_too_long(self.line)
            size *= 2
        if not end:
            return None
        self.line += 1
        line = self.take(end)
        self.head += line
        return line


def _line_end(data: bytes) -> int | None:
    """Return the offset after the first line end."""
    places = [place for place in (data.find(b"\n"), data.find(b"\r")) if place >= 0]
    if not places:
        return None
    first = min(places)
    return first + (2 if data[first : first + 2] == b"\r\n" else 1)


def _line_too_long(line: int) -> SourceError:
    return SourceError(
        f"found a line longer than {_MAX_LINE_BYTES // 2**20} MiB at line {line}, expected call records",
        hint="check that this is a CSV file, and its encoding",
    )


def _read_header(reader: _Reader, dialect: ResolvedDialect) -> tuple[str, ...]:
    names: tuple[str, ...] = ()
    wanted = dialect.header_lines
    while wanted:
        number = reader.line
        line = reader.take_line()
        if line is None:
            break
        record = line.rstrip(b"\r\n")
        if not record:
            continue
        if wanted == dialect.header_lines:
            names = _header_names(record, dialect, number)
        wanted -= 1
    return names


def _header_names(record: bytes, dialect: ResolvedDialect, line: int) -> tuple[str, ...]:
    fields = split_record(record, dialect)
    if isinstance(fields, Damage):
        problem = "a quote out of place"
    elif b"\0" in record:
        problem = "a NUL byte"
    else:
        try:
            return tuple(field.decode(dialect.block_encoding) for field in fields)
        except UnicodeDecodeError:
            problem = f"bytes that are not {dialect.block_encoding}"
    raise SourceError(
        f"found {problem} in the header at line {line}, expected column names",
        hint="repair the header, or state dialect.encoding, skip_lines or header = false in the layout",
    )


def _count_columns(sample: bytes, dialect: ResolvedDialect) -> tuple[str, ...]:
    """Return "1".."n" for n, the width most records of the sample have; of equals, the first."""
    lines = split_lines(sample)
    if len(lines) > 1 and len(sample) == SAMPLE_BYTES:
        lines.pop()
    widths = Counter(_record_widths(lines, dialect) if dialect.multiline else _line_widths(lines, dialect))
    width = widths.most_common(1)[0][0] if widths else int(any(line and not dialect.is_aside(line) for line in lines))
    return tuple(str(number) for number in range(1, width + 1))


def _line_widths(lines: Sequence[bytes], dialect: ResolvedDialect) -> list[int]:
    """Return the width of each of *lines* that is a record, where a record is a line."""
    from trunkline.framing.scanning import Outcome, scan

    found = scan(b"\n".join(lines), dialect, 0)  # all have too many, but for those that are damaged
    if ((found.outcomes == Outcome.BAD_ENCODING) | (found.outcomes == Outcome.NUL_BYTE)).any():
        return list(_record_widths(lines, dialect))  # such records are rejects, and as wide as the others
    widths: list[int] = found.widths[found.outcomes == Outcome.TOO_MANY_FIELDS].tolist()
    return widths


def _record_widths(lines: Iterable[bytes], dialect: ResolvedDialect) -> Iterator[int]:
    """Yield the width of each record in *lines* that is one; a damaged record may hide those after it."""
    begun: list[bytes] = []
    for line in lines:
        if not line and not begun:
            continue
        if dialect.is_aside(line) and not begun:
            continue
        fields = split_record(b"\n".join([*begun, line]), dialect)
        if not isinstance(fields, Damage):
            yield len(fields)
        begun = [*begun, line] if fields is Damage.OPEN_QUOTE and dialect.multiline else []


def _cut(
    reader: _Reader,
    dialect: ResolvedDialect,
    header: tuple[str, ...],
    sizes: BlockSizes | None,
    earlier: Mapping[int, EarlierBlock],
    first_position: int = 0,
) -> Iterator[Block]:
    if not reader.fill(1):
        return
    from trunkline.blocks import Block
    from trunkline.framing.borders import BLOCK_SIZES, find_border
    from trunkline.framing.scanning import count_lines

    sizes = sizes or BLOCK_SIZES
    for position in count(first_position):
        window = reader.fill(sizes.most + 1)
        if not window:
            return
        first_byte, first_line = reader.offset, reader.line
        known = earlier.get(first_byte)
        identity = ""
        if known is not None and _is_there_again(known, window, header, dialect):
            data, lines, identity = reader.take(known.size), known.lines, known.identity
        else:
            border = find_border(window, sizes, _record_borders(reader, dialect, len(header), sizes))
            if border is None:
                raise _line_too_long(reader.line)
            data = reader.take(border)
            lines = count_lines(data)
        reader.line += lines
        yield Block(
            position=position,
            first_byte=first_byte,
            first_line=first_line,
            data=data,
            lines=lines,
            identity=identity,
        )


def ends_line(last: bytes) -> bool:
    """
    Return whether a block ends where a line does, by its last byte and the one after it.

    What comes after a block may make its end another: a LF after its CR, or the rest of a line, or of a record of
    several lines, in a dialect that allows that.
    """
    return last.startswith((b"\n", b"\r")) and last != b"\r\n"


def _is_there_again(known: EarlierBlock, window: memoryview, header: tuple[str, ...], dialect: ResolvedDialect) -> bool:
    if dialect.multiline or not ends_line(bytes(window[known.size - 1 : known.size + 1])):
        return False
    return _identity(window[: known.size], header, dialect) == known.identity


def _record_borders(
    reader: _Reader, dialect: ResolvedDialect, width: int, sizes: BlockSizes
) -> npt.NDArray[np.int64] | None:
    """Return where a block may end because no record goes on there, or None if any line end will do."""
    if not dialect.multiline:
        return None
    from trunkline.framing.scanning import MAX_RECORD_BYTES, record_borders

    size = sizes.most + MAX_RECORD_BYTES
    window = reader.peek(size)
    return record_borders(window, dialect, width, whole=len(window) < size)
