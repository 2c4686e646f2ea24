"""The strict check of a block's lines, vectorised: where each physical line is and what becomes of it.  No I/O.

It must agree with `records.split_record` on every line; lines it cannot judge by columns of bytes are handed there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from trunkline.framing.dialect import ResolvedDialect
from trunkline.framing.loose import split_loosely
from trunkline.framing.records import Damage, split_record

Places = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_LF, _CR, _BLANK, _BACKSLASH = 10, 13, 32, 92

MAX_RECORD_BYTES = 1024 * 1024  # no call needs more; Arrow's CSV reader, too, refuses lines near its own 1 MiB blocks
_MAX_FAST_BYTES = 256 * 1024  # well below that
_MAX_RECORD_LINES = 1_000  # of a multiline record: what a stray quote may look ahead for its partner


class Outcome(IntEnum):
    """What becomes of a physical line.  All but the first three are reject codes, in order of precedence."""

    OK = 0
    BLANK = 1  # nothing between two line ends, or what the dialect says is none: not a record
    CONTINUED = 2  # part of the record of an earlier line (multiline dialects only)
    TOO_LONG = 3
    NUL_BYTE = 4
    BAD_ENCODING = 5
    BAD_QUOTE = 6
    TOO_FEW_FIELDS = 7
    TOO_MANY_FIELDS = 8
    TORN_RECORD = 9  # what would be TOO_FEW_FIELDS, or an open quote, where the source ends without a line end

    @property
    def code(self) -> str:
        """The stable reason code of the books."""
        return self.name.lower()


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """
    The physical lines of a block, n of them.

    Attributes:
        starts: Offset of the first byte of each line.
        ends: Offset after its last byte, line end excluded; for a multiline record that of its last line.
        outcomes: `Outcome` of each line.
        widths: Fields found; meaningful where the quotes are in order.
        slow: Good records that a fast reader may misread, so that `records.split_record` must read them.
    """

    starts: Places
    ends: Places
    outcomes: Bytes
    widths: npt.NDArray[np.int32]
    slow: Mask

    @property
    def records(self) -> int:
        """Records among the lines, good and bad."""
        return int(np.count_nonzero((self.outcomes == Outcome.OK) | (self.outcomes > Outcome.CONTINUED)))


def scan(data: bytes, dialect: ResolvedDialect, width: int) -> Scan:
    """
    Find the outcome of every physical line of a block.

    Args:
        data: Whole physical lines; the last may lack its end.
        dialect: As resolved for the source.
        width: Fields that a record must have.
    """
    if not data:
        none = np.empty(0, dtype=np.int64)
        return Scan(
            starts=none, ends=none, outcomes=np.empty(0, np.uint8), widths=np.empty(0, np.int32), slow=np.empty(0, bool)
        )
    marks = _find_marks(data, dialect)
    widths, bad_quote = _widths(marks, dialect)
    outcomes = np.zeros(len(marks.starts), dtype=np.uint8)
    # The later overrides the earlier: least precedence first.
    outcomes[widths > width] = Outcome.TOO_MANY_FIELDS
    outcomes[widths < width] = Outcome.TOO_FEW_FIELDS
    outcomes[bad_quote] = Outcome.BAD_QUOTE
    slow = (marks.ends - marks.starts) > _MAX_FAST_BYTES
    if dialect.escape == "backslash":
        _judge_one_by_one(data, dialect, width, marks, outcomes, widths, slow)
    if dialect.stray_quotes == "keep":
        _keep_stray_quotes(data, dialect, width, marks, outcomes, widths, slow)
    if not data.endswith((b"\n", b"\r")) and _is_torn(data, dialect, marks, Outcome(outcomes[-1])):
        outcomes[-1] = Outcome.TORN_RECORD
    outcomes[_undecodable_lines(data, dialect, marks)] = Outcome.BAD_ENCODING
    if b"\0" in data:
        outcomes[_lines_of(marks.starts, np.flatnonzero(marks.bytes == 0))] = Outcome.NUL_BYTE
    outcomes[(marks.ends - marks.starts) > MAX_RECORD_BYTES] = Outcome.TOO_LONG
    outcomes[marks.ends == marks.starts] = Outcome.BLANK
    if dialect.not_records:
        _leave_out_asides(data, dialect, marks, outcomes)
    if dialect.multiline:
        _join_lines(data, dialect, width, marks, outcomes, widths, slow)
    return Scan(starts=marks.starts, ends=marks.ends, outcomes=outcomes, widths=widths, slow=slow)


def is_plain(data: bytes, dialect: ResolvedDialect) -> bool:
    """
    Tell whether every line of a block that is not blank is a good record if it has the right number of fields.

    So there is no quote but around whole fields of one line, no CR but in a CRLF, no NUL, nothing that cannot be
    decoded, and no line near the greatest length.  A reader that counts fields and lines needs no `scan` then.  False
    does not mean the contrary.
    """
    if dialect.escape == "backslash" and _has_escapes(data, dialect):
        return False
    if b"\0" in data or (b"\r" in data and data.count(b"\r") != data.count(b"\r\n")):
        return False
    if not data.isascii() and (dialect.block_encoding != "utf-8" or not _decodes(data)):
        return False
    half = _MAX_FAST_BYTES // 2  # a line end in each half leaves no room for a longer line
    if not all(data.find(b"\n", begin, begin + half) >= 0 for begin in range(0, len(data) - half, half)):
        return False
    return not (dialect.quote and dialect.quote.encode() in data) or _has_tidy_quotes(data, dialect)


def _has_tidy_quotes(data: bytes, dialect: ResolvedDialect) -> bool:
    """Tell whether every line is made of whole fields; Arrow's automaton takes a third of the time of a scan for it."""
    # Here, since what only frames has no need of Arrow.  As binary, its patterns are of bytes.
    import pyarrow as pa
    import pyarrow.compute as pc

    tidy = pc.match_substring_regex(pa.scalar(data, pa.binary()), _lines_of_whole_fields(dialect))
    return bool(tidy.as_py())


@lru_cache(maxsize=8)
def _lines_of_whole_fields(dialect: ResolvedDialect) -> str:
    delimiter, quote = (rf"\x{ord(mark):02x}" for mark in (dialect.delimiter, dialect.quote))
    doubled = f"|{quote}{quote}" if dialect.escape == "double" else ""
    field = rf"(?:{quote}(?:[^{quote}\n]{doubled})*{quote}|[^{quote}{delimiter}\n]*)"
    blank = " ?" if dialect.blank_after else ""
    return rf"\A(?:{field}(?:{delimiter}{blank}|\r?\n))*{field}\z"


def _has_escapes(data: bytes, dialect: ResolvedDialect) -> bool:
    return any(bytes((_BACKSLASH, byte)) in data for byte in _escapable(dialect))


def _escapable(dialect: ResolvedDialect) -> bytes:
    """Return the bytes before which a backslash is more than data."""
    return bytes((ord(dialect.delimiter), _BACKSLASH)) + dialect.quote.encode()


def without_blanks(data: bytes, dialect: ResolvedDialect) -> bytes:
    """
    Return good lines without the blank that belongs to a delimiter, so that a reader that knows of none reads the same.

    Args:
        data: Lines that the scan finds good, or of which `is_plain` is true.
        dialect: One with `blank_after`.
    """
    delimiter = dialect.delimiter.encode()
    if delimiter + b" " not in data:
        return data
    if not (dialect.quote and dialect.quote.encode() in data):
        return data.replace(delimiter + b" ", delimiter)
    seen = np.frombuffer(data, dtype=np.uint8)
    blanks = np.flatnonzero((seen[:-1] == delimiter[0]) & (seen[1:] == _BLANK)) + 1
    quotes = np.flatnonzero(seen == ord(dialect.quote))
    kept = np.ones(len(seen), dtype=np.bool_)
    kept[blanks[np.searchsorted(quotes, blanks) % 2 == 0]] = False  # what follows as many quotes is not inside of any
    return seen[kept].tobytes()


def line_bounds(data: bytes) -> tuple[Places, Places]:
    """Return where each physical line of *data* starts and ends, line ends (LF, CRLF, CR) excluded."""
    seen = np.frombuffer(data, dtype=np.uint8)
    return _bounds(seen, np.flatnonzero(_line_end_mask(data, seen, seen == _LF)))


def bounds_in(dialect: ResolvedDialect, width: int) -> Callable[[bytes], tuple[Places, Places]]:
    """Return what finds where records start and end: `line_bounds`, or its like for records of several lines."""
    if not dialect.multiline:
        return line_bounds

    def record_bounds(data: bytes) -> tuple[Places, Places]:
        found = scan(data, dialect, width)
        return found.starts, found.ends

    return record_bounds


@dataclass(frozen=True, kw_only=True, slots=True)
class _Marks:
    """
    The bytes that structure a block.

    Attributes:
        bytes: All bytes of the block.
        at: Offsets of delimiters, quotes and line ends (of CRLF, the CR); a last line without an end gets one here.
        kinds: The byte at each.
        last: Index into *at* of the end of each line.
        starts: Start of each line.
        ends: End of each line.
    """

    bytes: Bytes
    at: Places
    kinds: Bytes
    last: Places
    starts: Places
    ends: Places


def _find_marks(data: bytes, dialect: ResolvedDialect) -> _Marks:
    seen = np.frombuffer(data, dtype=np.uint8)
    mask = (seen == _LF) | (seen == ord(dialect.delimiter))
    if dialect.quote and dialect.quote.encode() in data:
        mask |= seen == ord(dialect.quote)
    at = np.flatnonzero(_line_end_mask(data, seen, mask))
    kinds = seen[at]
    line_ends = (kinds == _LF) | (kinds == _CR)
    starts, ends = _bounds(seen, at[line_ends])
    last = np.flatnonzero(line_ends)
    if len(last) < len(ends):
        last = np.append(last, len(at))
        at, kinds = np.append(at, len(seen)), np.append(kinds, np.uint8(_LF))
    return _Marks(bytes=seen, at=at, kinds=kinds, last=last, starts=starts, ends=ends)


def _line_end_mask(data: bytes, seen: Bytes, mask: Mask) -> Mask:
    """Set *mask* also where a CR is, but of a CRLF, which is one line end, only there."""
    if b"\r" in data:
        mask |= seen == _CR
        mask[1:] &= (seen[1:] != _LF) | (seen[:-1] != _CR)
    return mask


def _bounds(seen: Bytes, line_ends: Places) -> tuple[Places, Places]:
    """Return starts and ends of lines from the offsets of LF, CR and, of CRLF, the CR."""
    starts = np.append(0, line_ends + _end_length(seen, line_ends))
    ends = np.append(line_ends, len(seen))
    if starts[-1] == len(seen):  # nothing after the last line end
        return starts[:-1], ends[:-1]
    return starts, ends


def _end_length(seen: Bytes, line_ends: Places) -> Places:
    """Return 2 for each line end that is a CRLF, 1 for the others."""
    following = np.minimum(line_ends + 1, len(seen) - 1)
    crlf: Mask = (seen[line_ends] == _CR) & (seen[following] == _LF)
    return np.where(crlf, 2, 1)


def _widths(marks: _Marks, dialect: ResolvedDialect) -> tuple[npt.NDArray[np.int32], Mask]:
    """Return the fields of each line, and the lines whose quotes are not in order."""
    quotes = marks.kinds == ord(dialect.quote or "\0")  # no mark is a NUL
    if not quotes.any():
        return np.diff(marks.last, prepend=-1).astype(np.int32), np.zeros(len(marks.last), dtype=bool)
    quotes, bad = _paired_quotes(quotes, marks.last)
    inside = (np.cumsum(quotes, dtype=np.int32) & 1).astype(bool)
    outside_delimiters = (marks.kinds == ord(dialect.delimiter)) & ~inside
    widths = np.diff(np.cumsum(outside_delimiters, dtype=np.int32)[marks.last], prepend=np.int32(0)) + np.int32(1)
    bad[_lines_of(marks.starts, _misplaced(marks.bytes, marks.at[quotes], dialect))] = True
    return widths, bad


def _paired_quotes(quotes: Mask, last: Places) -> tuple[Mask, Mask]:
    """
    Return the quotes without those of lines that leave one open, and these lines.

    What is left alternates between opening and closing over all lines of the block: no line turns the next ones
    inside out.
    """
    counts = np.cumsum(quotes, dtype=np.int32)[last]
    odd = (np.diff(counts, prepend=np.int32(0)) & 1).astype(bool)
    if odd.any():
        quotes = quotes & ~np.repeat(odd, np.diff(last, prepend=-1))
    return quotes, odd


def _misplaced(seen: Bytes, quotes: Places, dialect: ResolvedDialect) -> Places:
    """Return the quotes that open after, or close before, anything but a delimiter, a line end or their like."""
    opening, closing = quotes[0::2], quotes[1::2]
    fine_before = _may_touch_quotes(seen[opening - 1], dialect)
    if dialect.blank_after:
        blank = (seen[opening - 1] == _BLANK) & (seen[opening - 2] == ord(dialect.delimiter)) & (opening > 1)
        fine_before |= blank
    fine_after = _may_touch_quotes(seen[np.minimum(closing + 1, len(seen) - 1)], dialect)
    if len(quotes):
        fine_before[0] |= opening[0] == 0
        fine_after[-1] |= closing[-1] == len(seen) - 1
    return np.concatenate([opening[~fine_before], closing[~fine_after]])


def _may_touch_quotes(neighbours: Bytes, dialect: ResolvedDialect) -> Mask:
    fine: Mask = (neighbours == ord(dialect.delimiter)) | (neighbours == _LF) | (neighbours == _CR)
    if dialect.escape == "double":
        fine |= neighbours == ord(dialect.quote)
    return fine


def _lines_of(starts: Places, at: Places) -> Places:
    """Return the line that each offset is in."""
    return np.searchsorted(starts, at, side="right") - 1


def _undecodable_lines(data: bytes, dialect: ResolvedDialect, marks: _Marks) -> Places:
    encoding = dialect.block_encoding
    if data.isascii():
        return np.empty(0, dtype=np.int64)
    if encoding != "utf-8":
        return np.unique(_lines_of(marks.starts, np.flatnonzero(_undefined(encoding)[marks.bytes])))
    if _decodes(data):
        return np.empty(0, dtype=np.int64)
    suspects = np.unique(_lines_of(marks.starts, np.flatnonzero(marks.bytes >= 0x80)))
    bad = [line for line in suspects.tolist() if not _decodes(data[marks.starts[line] : marks.ends[line]])]
    return np.array(bad, dtype=np.int64)


def _decodes(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@lru_cache(maxsize=8)
def _undefined(encoding: str) -> Mask:
    """Return which of the 256 bytes mean no character in an encoding of one byte per character."""
    return np.array([bytes([byte]).decode(encoding, "replace") == "\ufffd" for byte in range(256)])


def _judge_one_by_one(
    data: bytes,
    dialect: ResolvedDialect,
    width: int,
    marks: _Marks,
    outcomes: Bytes,
    widths: npt.NDArray[np.int32],
    slow: Mask,
) -> None:
    """Judge lines by themselves where a backslash says what the byte after it means; elsewhere it is data."""
    if not _has_escapes(data, dialect):
        return
    backslashes = np.flatnonzero(marks.bytes == _BACKSLASH)
    following = marks.bytes[np.minimum(backslashes + 1, len(data) - 1)]  # behind the last byte: the backslash itself
    escapes = backslashes[np.isin(following, np.frombuffer(_escapable(dialect), dtype=np.uint8))]
    for line in np.unique(_lines_of(marks.starts, escapes)).tolist():
        fields = split_record(data[marks.starts[line] : marks.ends[line]], dialect)
        slow[line] = True
        if isinstance(fields, Damage):
            outcomes[line] = Outcome.BAD_QUOTE
            continue
        widths[line] = len(fields)
        outcomes[line] = _width_outcome(len(fields), width)


def _keep_stray_quotes(
    data: bytes,
    dialect: ResolvedDialect,
    width: int,
    marks: _Marks,
    outcomes: Bytes,
    widths: npt.NDArray[np.int32],
    slow: Mask,
) -> None:
    """Take lines for good whose quotes are out of place and that can be read in one way only."""
    for line in np.flatnonzero(outcomes == Outcome.BAD_QUOTE).tolist():
        if split_loosely(data[marks.starts[line] : marks.ends[line]], dialect, width) is not None:
            outcomes[line], widths[line], slow[line] = Outcome.OK, width, True


_MAY_BE_ASIDE = (Outcome.BAD_QUOTE, Outcome.TOO_FEW_FIELDS, Outcome.TOO_MANY_FIELDS, Outcome.TORN_RECORD)


def _leave_out_asides(data: bytes, dialect: ResolvedDialect, marks: _Marks, outcomes: Bytes) -> None:
    """Take lines for blank that are no good records and that the dialect says are none."""
    for line in np.flatnonzero(np.isin(outcomes, _MAY_BE_ASIDE)).tolist():
        if dialect.is_aside(data[marks.starts[line] : marks.ends[line]]):
            outcomes[line] = Outcome.BLANK


def _is_torn(data: bytes, dialect: ResolvedDialect, marks: _Marks, outcome: Outcome) -> bool:
    """Whether the last line, which has no end, may be the first part of a good record."""
    if outcome is not Outcome.BAD_QUOTE:
        return outcome is Outcome.TOO_FEW_FIELDS
    return split_record(data[marks.starts[-1] :], dialect) is Damage.OPEN_QUOTE


def _width_outcome(found: int, width: int) -> Outcome:
    if found == width:
        return Outcome.OK
    return Outcome.TOO_FEW_FIELDS if found < width else Outcome.TOO_MANY_FIELDS


def _join_lines(
    data: bytes,
    dialect: ResolvedDialect,
    width: int,
    marks: _Marks,
    outcomes: Bytes,
    widths: npt.NDArray[np.int32],
    slow: Mask,
) -> None:
    """
    Make one record of lines that only together are one.

    A line with a quote left open is tried with the lines after it.  If no whole record comes of that, the line is
    a reject by itself and the next line is looked at as if nothing had happened.  A whole record with too few or too
    many fields is one reject, unless a line in it is a good record by itself: then the quote is what is wrong.
    """
    done = 0
    for first in np.flatnonzero(outcomes == Outcome.BAD_QUOTE).tolist():  # not the torn one: no line comes after it
        if first < done:
            continue
        found = _last_line(data, dialect, marks, outcomes, first)
        if found is None:
            continue
        last, fields = found
        outcome = _width_outcome(fields, width)
        if outcome is not Outcome.OK and Outcome.OK in outcomes[first + 1 : last + 1]:
            continue
        outcomes[first] = outcome
        outcomes[first + 1 : last + 1] = Outcome.CONTINUED
        marks.ends[first] = marks.ends[last]
        widths[first] = fields
        slow[first] = True
        done = last + 1


def _last_line(
    data: bytes, dialect: ResolvedDialect, marks: _Marks, outcomes: Bytes, first: int
) -> tuple[int, int] | None:
    """Return the line that completes the record begun in line *first*, and its number of fields; or None."""
    start = int(marks.starts[first])
    quote = dialect.quote.encode()
    if split_record(data[start : marks.ends[first]], dialect) is not Damage.OPEN_QUOTE:
        return None
    for line in range(first + 1, min(first + _MAX_RECORD_LINES, len(outcomes))):
        end = int(marks.ends[line])
        if end - start > MAX_RECORD_BYTES or outcomes[line] in _UNJOINABLE:
            return None
        if quote not in data[marks.starts[line] : end]:
            continue
        fields = split_record(data[start:end], dialect)
        if not isinstance(fields, Damage):
            return line, len(fields)
        if fields is Damage.STRAY_QUOTE:
            return None
    return None


_UNJOINABLE = frozenset({Outcome.TOO_LONG, Outcome.NUL_BYTE, Outcome.BAD_ENCODING})


def count_lines(data: bytes) -> int:
    """Return how many physical lines *data* has."""
    seen = np.frombuffer(data, dtype=np.uint8)
    whole = int(np.count_nonzero(_line_end_mask(data, seen, seen == _LF)))
    return whole + (bool(data) and not data.endswith((b"\n", b"\r")))


def record_borders(data: bytes, dialect: ResolvedDialect, width: int, *, whole: bool) -> Places:
    """
    Return the offsets in *data* where a record is known to have ended and the next line begins.

    Args:
        data: Bytes that begin with a record.
        dialect: One that allows line ends in quotes.
        width: Fields that a record must have.
        whole: Whether *data* goes on to the end of the source.  If not, borders are left out that bytes still to
            come could show to be inside a record.
    """
    found = scan(data, dialect, width)
    begins: Places = found.starts[1:][found.outcomes[1:] != Outcome.CONTINUED]
    return begins if whole else begins[begins <= len(data) - MAX_RECORD_BYTES]
