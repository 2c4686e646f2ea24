"""Tables where nobody's terminal limits them, in a pipe or a log: a row a line, nothing cut, wrapped or coloured.

What is drawn on a terminal takes rich, whose import is a tenth of the time of a command that finds nothing to do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from unicodedata import combining, east_asian_width

_GAP = "  "


def plain_lines(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> Iterator[str]:
    """
    Yield a line for each of *rows*, their cells padded to columns.

    Args:
        rows: All of one length; the text of a cell is printable.
        right: The columns, from 0, that are set to the right.
    """
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (
            " " * (width - _width(text)) + text if place in right else text + " " * (width - _width(text))
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        yield _GAP.join(padded).rstrip()


def _width(text: str) -> int:
    """Return how many columns of a terminal *text* takes."""
    if text.isascii():
        return len(text)
    return sum(2 if east_asian_width(char) in "WF" else 0 if combining(char) else 1 for char in text)
