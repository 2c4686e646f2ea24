"""Records of programs that put quotes around fields and do not mind those inside: read where only one reading is.

Database exports do it, and a caller's name in quotes is in every record of a switch: ``7,""Ann" <1001>",1001``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from trunkline.framing.dialect import ResolvedDialect

_MOST_PARTS: Final = 1_000  # a record with more delimiters is not looked at
_MOST_INSIDE: Final = 32  # delimiters within fields; the work grows with their square


def split_loosely(record: bytes, dialect: ResolvedDialect, width: int) -> list[bytes] | None:
    """
    Split a record that breaks the grammar, if there is one way only to do it.

    A field is what lies between two delimiters.  A delimiter is inside a field only where the field begins and ends
    with a quote, and never directly beside a quote.  The quotes of a field are even in number.

    Args:
        record: Without its line end.
        dialect: Its delimiter and quote count.
        width: How many fields there must be.

    Returns:
        The fields, without the quotes around them and otherwise as they are written; None if there is no such way, or
        more than one.

    >>> from trunkline.framing.dialect import ResolvedDialect
    >>> split_loosely(b'7,""Ann" <1>","a,b",', ResolvedDialect(), 4)
    [b'7', b'"Ann" <1>', b'a,b', b'']
    >>> split_loosely(b'7,"Ann,b', ResolvedDialect(), 3) is None
    True
    """
    delimiter, quote = dialect.delimiter.encode(), dialect.quote.encode()
    parts = record.split(delimiter)
    inside = len(parts) - width
    if not quote or width < 1 or not 0 <= inside <= _MOST_INSIDE or len(parts) > _MOST_PARTS:
        return None
    last = _last_parts(parts, quote, inside)
    if last is None:
        return None
    fields, first = [], 0
    for end in last:
        fields.append(_value(delimiter.join(parts[first : end + 1]), quote))
        first = end + 1
    return fields


def _last_parts(parts: list[bytes], quote: bytes, inside: int) -> list[int] | None:
    """Return the last part of each field, if there is one way only to leave *inside* delimiters within fields."""
    odd = [part.count(quote) % 2 for part in parts]
    if not inside:  # as in most records: each part is a field
        return None if any(odd) else list(range(len(parts)))
    begins, ends = [part.startswith(quote) for part in parts], [part.endswith(quote) for part in parts]
    count = len(parts)
    ways = [[0] * (inside + 1) for _ in range(count + 1)]
    chosen = [[0] * (inside + 1) for _ in range(count)]
    ways[count][0] = 1
    for first in reversed(range(count)):
        for left in range(inside + 1):
            quotes = 0
            for last in range(first, min(first + left, count - 1) + 1):
                if last > first and (ends[last - 1] or begins[last]):
                    break
                quotes += odd[last]
                whole = last == first or (begins[first] and ends[last])
                more = ways[last + 1][left - (last - first)] if whole and quotes % 2 == 0 else 0
                if more:
                    ways[first][left] = min(ways[first][left] + more, 2)
                    chosen[first][left] = last
    if ways[0][inside] != 1:
        return None
    found, first, left = [], 0, inside
    while first < count:
        last = chosen[first][left]
        found.append(last)
        first, left = last + 1, left - (last - first)
    return found


def _value(field: bytes, quote: bytes) -> bytes:
    if len(field) < 2 or not (field.startswith(quote) and field.endswith(quote)):
        return field
    inner = field[1:-1]
    single = inner.replace(quote * 2, b"")
    return inner if quote in single else inner.replace(quote * 2, quote)
