"""How the bytes of a source become characters, fields and records: the dialect, stated or found in a sample.

Imports nothing heavy, so that an unchanged source can be recognised without numpy or pandas.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

from trunkline.errors import LayoutError, SourceError
from trunkline.framing.records import split_lines
from trunkline.framing.sniffing import sniff

Escape = Literal["double", "backslash", "none"]

SAMPLE_BYTES = 64 * 1024  # enough lines to tell a separator from a letter, little enough to read always

_SAMPLE_LINES = 200

# UTF-32 before UTF-16: the little-endian mark of one begins with that of the other.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = frozenset({"utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"})


class WantedDialect(Protocol):
    """What a layout states about the dialect; None means: find out."""

    @property
    def delimiter(self) -> str | None: ...
    @property
    def quote(self) -> str | None: ...
    @property
    def escape(self) -> Escape | None: ...
    @property
    def header(self) -> bool | None: ...
    @property
    def header_lines(self) -> int | None: ...
    @property
    def skip_lines(self) -> int | None: ...
    @property
    def encoding(self) -> str | None: ...
    @property
    def multiline(self) -> bool | None: ...
    @property
    def not_records(self) -> str | None: ...
    @property
    def blank_after(self) -> bool | None: ...
    @property
    def stray_quotes(self) -> Literal["reject", "keep"] | None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedDialect:
    """
    A dialect with nothing left to find out.

    Attributes:
        delimiter: One ASCII character.
        quote: One ASCII character, or "" where quotes are ordinary characters.
        escape: How a quote is written inside quotes.  ``double``: twice (RFC 4180).  ``backslash``: a backslash makes
            a following quote, delimiter or backslash an ordinary character, inside and outside quotes, and is itself
            data before anything else.  ``none``: not at all.
        header: Whether the first record names the columns.
        header_lines: Lines of the header that are no records; the names are in the first.
        skip_lines: Physical lines before the header that are no records.
        encoding: Python's name of it.  What is not a superset of ASCII in single bytes (UTF-16, UTF-32) is framed as
            UTF-8: see `wide`.
        multiline: Whether a quoted field may hold line ends.
        blank_after: Whether one blank after a delimiter belongs to it, as where programs write ", " between fields.
        not_records: Regular expression of lines that are no records where they do not have a record's fields, or "".
        stray_quotes: Whether quotes out of place are kept as data where one reading only is (`framing.loose`).
    """

    delimiter: str = ","
    quote: str = '"'
    escape: Escape = "double"
    header: bool = True
    header_lines: int = 1
    skip_lines: int = 0
    encoding: str = "utf-8"
    multiline: bool = False
    not_records: str = ""
    blank_after: bool = False
    stray_quotes: Literal["reject", "keep"] = "reject"

    def is_aside(self, line: bytes) -> bool:
        """Whether a line, which does not have the fields of a record, is none by `not_records`."""
        return self.not_records != "" and _pattern(self.not_records).fullmatch(line) is not None

    @property
    def grammar(self) -> ResolvedDialect:
        """Nothing but what says how a record is split into fields: the same for all dialects that split alike."""
        return ResolvedDialect(
            delimiter=self.delimiter, quote=self.quote, escape=self.escape, blank_after=self.blank_after
        )

    @property
    def wide(self) -> bool:
        """
        Whether the source is transcoded to UTF-8 before framing.

        Then the bytes of blocks and rejects, and byte offsets, are those of the UTF-8 text, not of the source.
        """
        return self.encoding in _WIDE

    @property
    def block_encoding(self) -> str:
        """The encoding of the bytes in blocks."""
        return "utf-8" if self.wide else self.encoding


def resolve_dialect(sample: bytes, wanted: WantedDialect | None = None) -> ResolvedDialect:
    """
    Fill in what *wanted* leaves open, from the first bytes of a source.

    Args:
        sample: The first `SAMPLE_BYTES` of the decompressed source, or all of it if it is shorter.
        wanted: What the layout states.  It wins over what the sample looks like, except that a byte order mark
            overrides the encoding: the file itself says so.

    Raises:
        LayoutError: If the stated dialect cannot be one.
        SourceError: If the sample is not text in any supported encoding.
    """
    encoding = _encoding(sample, _marked_encoding(sample), wanted.encoding if wanted else None)
    skip_lines = (wanted.skip_lines if wanted else None) or 0
    lines = [line for line in sample_lines(sample, encoding)[skip_lines:] if line][:_SAMPLE_LINES]
    header = True if wanted is None or wanted.header is None else wanted.header
    known = ResolvedDialect(
        header=header,
        header_lines=_header_lines(header, wanted.header_lines if wanted else None),
        skip_lines=skip_lines,
        encoding=encoding,
        multiline=bool(wanted and wanted.multiline),
        not_records=(wanted.not_records if wanted else None) or "",
        stray_quotes=(wanted.stray_quotes if wanted else None) or "reject",
    )
    resolved = sniff(
        lines,
        known,
        delimiter=wanted.delimiter if wanted else None,
        quote=wanted.quote if wanted else None,
        escape=wanted.escape if wanted else None,
        blank_after=wanted.blank_after if wanted else None,
    )
    _check(resolved)
    return resolved


@lru_cache(maxsize=32)
def _pattern(text: str) -> re.Pattern[bytes]:
    return re.compile(text.encode("ascii"))


def ends_with_cr_only(sample: bytes, dialect: ResolvedDialect) -> bool:
    """Return whether the first bytes of a source have line ends, and all of them are CR alone."""
    text = sample.decode(dialect.encoding, "replace")
    return "\r" in text and "\n" not in text


def _marked_encoding(sample: bytes) -> str | None:
    """Return the encoding that the byte order mark stands for, if there is one."""
    return next((encoding for mark, encoding in _MARKS if sample.startswith(mark)), None)


def _header_lines(header: bool, wanted: int | None) -> int:
    if not header:
        return 0
    return 1 if wanted is None else wanted


def _encoding(sample: bytes, marked: str | None, wanted: str | None) -> str:
    if marked is not None:
        return marked
    if wanted is not None:
        return _supported(wanted)
    if _looks_like_utf16(sample[:64]):
        raise SourceError(
            "found a NUL in every other byte, as UTF-16 has them, but no byte order mark; expected UTF-8",
            hint='state dialect.encoding in the layout: "utf-16-le" or "utf-16-be"',
        )
    return "utf-8"


def _looks_like_utf16(head: bytes) -> bool:
    even, odd = head[0::2].count(0), head[1::2].count(0)
    return min(even, odd) == 0 and max(even, odd) > len(head) * 0.45


@lru_cache(maxsize=32)
def _supported(name: str) -> str:
    """Return Python's name of an encoding that can be framed, or raise LayoutError."""
    try:
        found = codecs.lookup(name).name
        if found == "utf-8-sig":
            found = "utf-8"
        if found == "utf-8" or found in _WIDE or _is_single_byte(found):
            return found
    except LookupError:
        raise LayoutError(
            f"found dialect.encoding {name!r}, expected an encoding that Python knows", hint='such as "utf-8", "cp1252"'
        ) from None
    raise LayoutError(
        f"found dialect.encoding {name!r}, expected UTF-8, UTF-16, UTF-32 with its byte order (utf-16-le) "
        "or an encoding of one byte per character",
        hint="convert the file to UTF-8 first, for example with iconv",
    )


def _is_single_byte(encoding: str) -> bool:
    """Whether ASCII means ASCII and every other byte stands for one character or none."""
    ascii_bytes = bytes(range(128))
    try:
        if codecs.decode(ascii_bytes, encoding) != ascii_bytes.decode("ascii"):
            return False
        for byte in range(128, 256):
            decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
            if len(decoder.decode(bytes([byte]))) != 1:  # a multi-byte encoding waits for more
                return False
    except (ValueError, LookupError, TypeError):
        return False
    return True


def sample_lines(sample: bytes, encoding: str) -> list[bytes]:
    """Return the whole physical lines of a sample, as UTF-8 without a byte order mark; not one cut by its end."""
    data = sample.decode(encoding, "replace").removeprefix("\ufeff").encode("utf-8", "replace")
    lines = split_lines(data)
    if len(lines) > 1 and not data.endswith((b"\n", b"\r")):
        lines.pop()
    return lines


def _check(dialect: ResolvedDialect) -> None:
    """Refuse what cannot be told apart."""
    for name, value in (("delimiter", dialect.delimiter), ("quote", dialect.quote)):
        if name == "quote" and not value:
            continue
        if len(value) != 1 or not value.isascii() or value in "\r\n\0":
            raise LayoutError(
                f"found dialect.{name} {value!r}, expected one ASCII character other than a line end or NUL"
            )
    special = [dialect.delimiter, dialect.quote, "\\" if dialect.escape == "backslash" else ""]
    used = [one for one in special if one]
    if len(set(used)) != len(used):
        raise LayoutError(
            f"found dialect.delimiter {dialect.delimiter!r}, quote {dialect.quote!r}, escape {dialect.escape!r}, "
            "expected different characters"
        )
    if dialect.blank_after and " " in used:
        raise LayoutError("found dialect.blank_after where a blank is delimiter or quote, expected other characters")
    if dialect.header and dialect.header_lines < 1:
        raise LayoutError(
            f"found dialect.header_lines {dialect.header_lines}, expected at least 1", hint="or state header = false"
        )
    if dialect.skip_lines < 0:
        raise LayoutError(f"found dialect.skip_lines {dialect.skip_lines}, expected 0 or more")
