"""Which delimiter, quote and escape explain the first lines of a source?  By what most lines say: no single damaged
record may change how the others are read.  No I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from trunkline.framing.records import Damage, is_plain, sampled_fields

if TYPE_CHECKING:
    from trunkline.framing.dialect import Escape, ResolvedDialect

# In the order in which they win a tie: what call logs use most comes first.
_DELIMITERS = (",", ";", "\t", "|", "^", "~", ":", "\x1f", "\x01")
_QUOTES = ('"', "'")

_SPACED = (",", ";", "|")  # delimiters that programs write a blank after

_ENOUGH = 0.3  # of the lines must have the width of the first one, for it to speak for a delimiter
_LEAST_ESCAPED = 2  # records that only a backslash explains: one may be damaged


def sniff(
    lines: Sequence[bytes],
    plain: ResolvedDialect,
    *,
    delimiter: str | None,
    quote: str | None,
    escape: Escape | None,
    blank_after: bool | None,
) -> ResolvedDialect:
    """
    Return *plain* with the delimiter, quote and escape of some lines, and whether a blank belongs to the delimiter.

    Args:
        lines: Whole physical lines, none of them blank.
        plain: What is known besides.
        delimiter: What is stated, or None; and so for the next three.
    """
    delimiters = _DELIMITERS if delimiter is None else (delimiter,)
    quotes = _QUOTES if quote is None else (quote,)
    best = _with_escape(lines, replace(plain, blank_after=bool(blank_after)), delimiters, quotes, escape)
    if blank_after is not None:
        return best.dialect
    spaced = [each for each in delimiters if each in _SPACED and _is_spaced(lines, each.encode())]
    before_quotes = [each for each in delimiters if each in _SPACED and _has_blanks_before(lines, each, quotes)]
    for some in filter(None, (spaced, before_quotes)):
        other = _with_escape(lines, replace(plain, blank_after=True), some, quotes, escape)
        alike = some is spaced and other.delimiter == best.delimiter  # as good, and it takes the blanks along
        if other.rank > best.rank or (alike and other.rank == best.rank):
            best = other
    return best.dialect


def _is_spaced(lines: Sequence[bytes], delimiter: bytes) -> bool:
    """
    Return whether one blank stands after each delimiter, in the first line and in most others.

    Two blanks are padding of a column, and data.
    """
    if len(lines) < 2 or not _is_spaced_line(lines[0], delimiter):
        return False
    return 2 * sum(_is_spaced_line(line, delimiter) for line in lines) > len(lines)


def _is_spaced_line(line: bytes, delimiter: bytes) -> bool:
    parts = line.split(delimiter)[1:]
    return bool(parts) and all(part.startswith(b" ") and not part.startswith(b"  ") for part in parts)


def _has_blanks_before(lines: Sequence[bytes], delimiter: str, quotes: Sequence[str]) -> bool:
    """Return whether a blank stands between delimiter and quote in most lines, be it after one delimiter only."""
    text = b"\n".join(lines)
    marks = (f"{delimiter} {quote}".encode() for quote in quotes if quote)
    return any(mark in text and 2 * sum(mark in line for line in lines) > len(lines) for mark in marks)


def _with_escape(
    lines: Sequence[bytes],
    plain: ResolvedDialect,
    delimiters: Sequence[str],
    quotes: Sequence[str],
    escape: Escape | None,
) -> _Reading:
    best = _best(lines, plain, delimiters, quotes, escape or "double")
    mark = b"\\" + best.quote.encode()
    if escape is None and best.quote and best.delimiter != "\\" and mark in b"\n".join(lines):
        escaped = _best(lines, plain, delimiters, quotes, "backslash")
        return escaped if escaped.explains(best) else best
    return best


def _best(
    lines: Sequence[bytes], plain: ResolvedDialect, delimiters: Sequence[str], quotes: Sequence[str], escape: Escape
) -> _Reading:
    # Of equals the first: what is most usual comes first.
    best: _Reading | None = None
    for each in _worth_trying(lines, delimiters):
        if best is None or _may_be_better(each, best, lines[0]):
            read = _with_quote(lines, plain, each, quotes, escape)
            best = read if best is None or read.rank > best.rank else best
    if best is None:  # there is always a delimiter to try
        raise ValueError(delimiters)
    return best


def _may_be_better(delimiter: str, best: _Reading, first: bytes) -> bool:
    """
    Tell whether a delimiter may rank above the *best* so far; whoever reads 200 lines in vain needs a millisecond.

    Where the first line speaks for the best, it has to speak for the other, too, so that it has to have it.
    """
    first_line_fits, is_usual, _ = best.rank
    return not first_line_fits or (delimiter.encode() in first and (delimiter != ":" or not is_usual))


def _worth_trying(lines: Sequence[bytes], delimiters: Sequence[str]) -> list[str]:
    """Return the delimiters that are there, and the first one that is not: all of those explain the lines alike."""
    text = b"\n".join(lines)
    absent = [each for each in delimiters if each.encode() not in text]
    return [each for each in delimiters if each not in absent[1:]]


def _with_quote(
    lines: Sequence[bytes], plain: ResolvedDialect, delimiter: str, quotes: Sequence[str], escape: Escape
) -> _Reading:
    """
    Return the lines read with a delimiter and the quote that goes with it.

    The second quote takes the place of the first where it stands around fields in most lines, or makes more records
    of lines than it breaks.  A name such as O'Brien, or one field in quotes, is not enough.
    """
    first = _Reading.of(lines, plain, delimiter, quotes[0], escape)
    text = b"\n".join(lines)
    for quote in quotes[1:]:
        mark = quote.encode()
        if mark not in text or not _may_speak(mark, lines, first.good):
            continue
        other = _Reading.of(lines, plain, delimiter, quote, escape)
        around = other.lines_with_quotes_around()
        most = 2 * around >= len(lines) and around > first.lines_with_quotes_around()
        gained = sum(mark in line for line, good, was in zip(lines, other.good, first.good, strict=True) if good > was)
        broken = sum(was > good for good, was in zip(other.good, first.good, strict=True))
        if most or gained > broken + first.quoted():
            return other
    return first


def _may_speak(mark: bytes, lines: Sequence[bytes], good: Sequence[bool]) -> bool:
    """Tell whether a second quote can win: it is in half of the lines, or in one that is no record with the first."""
    marked = [mark in line for line in lines]
    return 2 * sum(marked) >= len(lines) or any(there and not was for there, was in zip(marked, good, strict=True))


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """Lines as a dialect reads them; read only where it has a rival, which takes as long as all else that is done."""

    lines: Sequence[bytes]
    dialect: ResolvedDialect

    @classmethod
    def of(cls, lines: Sequence[bytes], plain: ResolvedDialect, delimiter: str, quote: str, escape: Escape) -> _Reading:
        return cls(lines=lines, dialect=replace(plain, delimiter=delimiter, quote=quote, escape=escape))

    @cached_property
    def _widths(self) -> list[int]:
        marks = self.delimiter.encode(), self.quote.encode()
        text = b"\n".join(self.lines)
        if marks[0] not in text:
            return [1] * len(self.lines)
        if is_plain(text, marks[1], self.dialect.escape) and not self.dialect.blank_after:
            return [line.count(marks[0]) + 1 for line in self.lines]
        grammar = self.dialect.grammar
        fields = (sampled_fields(line, grammar) for line in self.lines)
        return [0 if isinstance(each, Damage) else len(each) for each in fields]

    @cached_property
    def usual(self) -> int:
        """The width that most lines have, of those above one; 0 if there is none."""
        counts = Counter(width for width in self._widths if width > 1)
        return max(counts, key=lambda width: (counts[width], width), default=0)

    @cached_property
    def good(self) -> tuple[bool, ...]:
        """Whether each line is a record of the usual width."""
        return tuple(width == self.usual > 0 for width in self._widths)

    @property
    def delimiter(self) -> str:
        return self.dialect.delimiter

    @property
    def quote(self) -> str:
        return self.dialect.quote

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """
        The larger, the likelier: whether the first line, often a header, is as wide as others; a separator that is
        not in every time of day; and how many separators are where they should be.

        The first line comes first since damage to many records must not let a character win that happens to be once
        in each, such as the decimal comma of an amount.
        """
        share = sum(self.good) / len(self.good) if self.good else 0.0
        return (
            self.good[:1] == (True,) and share >= _ENOUGH,
            self.delimiter != ":" and self.usual > 0,
            share * (self.usual - 1),
        )

    def quoted(self) -> int:
        """Return how many good records have quotes."""
        mark = self.quote.encode()
        return sum(good and mark in line for line, good in zip(self.lines, self.good, strict=True))

    def lines_with_quotes_around(self) -> int:
        """Return how many lines have a quote where a field begins and one where it or a later one ends."""
        delimiter, mark = self.delimiter.encode(), self.quote.encode()
        return sum(mark in line and _has_quotes_around(line.split(delimiter), mark) for line in self.lines)

    def explains(self, other: _Reading) -> bool:
        """Return whether this reading has enough good records more than *other*, and every good one of it."""
        more = sum(good > was for good, was in zip(self.good, other.good, strict=True))
        fewer = sum(was > good for good, was in zip(self.good, other.good, strict=True))
        return more >= _LEAST_ESCAPED and not fewer


def _has_quotes_around(parts: Sequence[bytes], quote: bytes) -> bool:
    begin = next((place for place, part in enumerate(parts) if part.startswith(quote) and part != quote), None)
    return begin is not None and any(part.endswith(quote) for part in parts[begin:])
