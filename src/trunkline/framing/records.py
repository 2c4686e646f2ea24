"""One record at a time, strictly: the grammar that everything faster has to agree with.  No I/O."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trunkline.framing.dialect import ResolvedDialect


class Damage(StrEnum):
    """Why a line cannot be split into fields."""

    OPEN_QUOTE = "open_quote"  # ends inside quotes: more lines may complete it where the dialect is multiline
    STRAY_QUOTE = "stray_quote"  # a quote where none may be: no line after it can heal that


def split_lines(data: bytes) -> list[bytes]:
    r"""
    Return the physical lines of *data* without their ends, which are LF, CRLF or CR and nothing else.

    >>> split_lines(b"a\r\nb\rc\x0bd\n")
    [b'a', b'b', b'c\x0bd']
    """
    return data.splitlines()  # of bytes, unlike of str, this knows no other line ends


def split_record(record: bytes, dialect: ResolvedDialect) -> list[bytes] | Damage:
    """
    Split a record into its fields, quotes and escapes taken off.

    The grammar is RFC 4180 section 2: a quote may stand only at both ends of a field, or doubled inside one.  Where
    we differ: the delimiter and quote are the dialect's, a quote can be escaped by a backslash instead, any byte may
    stand between quotes, a quote in a field without quotes is damage, not data, and one blank after a delimiter is no
    data where the dialect says so.

    Args:
        record: The record without its line end.
        dialect: Its delimiter, quote and escape count.
    """
    if is_plain(record, dialect.quote.encode(), dialect.escape):
        delimiter = dialect.delimiter.encode()
        return (record.replace(delimiter + b" ", delimiter) if dialect.blank_after else record).split(delimiter)
    grammar = _grammar(dialect.delimiter, dialect.quote, dialect.escape)
    fields: list[bytes] = []
    position = 0
    while True:
        match = grammar.field.match(record, position)
        if match is None:
            opened = grammar.opened is not None and grammar.opened.fullmatch(record, position)
            return Damage.OPEN_QUOTE if opened else Damage.STRAY_QUOTE
        fields.append(grammar.value(match))
        position = match.end()
        if not match["end"]:
            return fields
        if dialect.blank_after and record.startswith(b" ", position):
            position += 1


def sampled_fields(record: bytes, grammar: ResolvedDialect) -> tuple[str, ...] | Damage:
    """
    Return what `split_record` does as text, of the first lines of a source, which one layout after the other asks for.

    Args:
        record: The record without its line end.
        grammar: What a dialect has as `grammar`, so that those that split alike ask for the same.
    """
    return _remembered(record, grammar) if len(record) <= _MOST_REMEMBERED else _as_text(record, grammar)


def _as_text(record: bytes, grammar: ResolvedDialect) -> tuple[str, ...] | Damage:
    fields = split_record(record, grammar)
    return fields if isinstance(fields, Damage) else tuple([field.decode("utf-8", "replace") for field in fields])


_remembered = lru_cache(maxsize=2048)(_as_text)
_MOST_REMEMBERED = 4 * 1024  # bytes; longer records are rare, and would need memory for as long as the process lives


def width_of(record: bytes, delimiter: bytes, quote: bytes, dialect: ResolvedDialect) -> int:
    """Return how many fields `split_record` finds, 0 where it finds damage; the marks are those of *dialect*."""
    if is_plain(record, quote, dialect.escape) and not dialect.blank_after:
        return record.count(delimiter) + 1
    fields = split_record(record, dialect)
    return 0 if isinstance(fields, Damage) else len(fields)


def is_plain(record: bytes, quote: bytes, escape: str) -> bool:
    """Whether nothing in *record* but delimiters has a meaning: most records, and splitting them is 7 times as fast."""
    return not (quote and quote in record) and (escape != "backslash" or b"\\" not in record)


class _Grammar:
    """The regular expressions of one dialect, compiled once."""

    def __init__(self, delimiter: str, quote: str, escape: str) -> None:
        d, q = re.escape(delimiter.encode()), re.escape(quote.encode())
        end = rb"(?P<end>" + d + rb"|\Z)"
        self.opened: re.Pattern[bytes] | None = None
        self._quotes = bool(quote)
        self._written, self._meant = b"", b""
        self._escaped: re.Pattern[bytes] | None = None
        if escape == "backslash":
            self._escaped = re.compile(rb"\\([\\" + d + q + rb"])")
        # Loops are unrolled (text, then mark and text repeated), so that a long field costs no memory per byte.
        plain = rb"[^" + d + q + rb"]*"
        if escape == "backslash":
            plain = rb"[^\\" + d + q + rb"]*(?:\\(?:.|\Z)[^\\" + d + q + rb"]*)*"
        if not quote:
            self.field = re.compile(rb"(?P<plain>" + plain + rb")" + end, re.DOTALL)
            return
        inside = {
            "double": rb"[^Q]*(?:QQ[^Q]*)*",
            "backslash": rb"[^Q\\]*(?:\\.[^Q\\]*)*",
            "none": rb"[^Q]*",
        }[escape].replace(b"Q", q)
        if escape == "double":
            self._written, self._meant = quote.encode() * 2, quote.encode()
        self.field = re.compile(
            rb"(?:" + q + rb"(?P<quoted>" + inside + rb")" + q + rb"|(?P<plain>" + plain + rb"))" + end, re.DOTALL
        )
        self.opened = re.compile(q + inside + (rb"\\?" if escape == "backslash" else b""), re.DOTALL)

    def value(self, match: re.Match[bytes]) -> bytes:
        """Return what the field that *match* found means."""
        text: bytes | None = match["quoted"] if self._quotes else None
        is_quoted = text is not None
        if text is None:
            text = match["plain"]
        if self._escaped is not None:
            return self._escaped.sub(rb"\1", text) if b"\\" in text else text
        if is_quoted and self._written:
            return text.replace(self._written, self._meant)
        return text


@lru_cache(maxsize=64)
def _grammar(delimiter: str, quote: str, escape: str) -> _Grammar:
    return _Grammar(delimiter, quote, escape)
